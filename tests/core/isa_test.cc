#include "airlock/core/isa.h"

#include <string>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/support/environment.h"

namespace airlock::isa_test {
namespace {

constexpr Isa kAll[] = {Isa::kBase, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx};

TEST(IsaTest, EverySetButTheBaseIsALimitByItsName) {
  for (const Isa isa : kAll) {
    if (isa == Isa::kBase) continue;
    EXPECT_EQ(parse_max_isa(isa_name(isa)), isa);
  }
  EXPECT_EQ(parse_max_isa(""), Isa::kAmx);
}

TEST(IsaTest, AnotherNameIsOneErrorThatSaysWhichThereAre) {
  for (const char* name : {"base", "avx3", "AVX2", "avx512_bf61", " avx2"}) {
    try {
      (void)parse_max_isa(name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("avx2, avx512, avx512_bf16 or amx"),
                std::string::npos)
          << error.what();
      EXPECT_EQ(std::string(error.what()).find("`base`"), std::string::npos) << error.what();
    }
  }
}

TEST(IsaTest, NothingIsUsedPastTheLimit) {
  const char* limit = std::getenv("AIRLOCK_MAX_ISA");
  EXPECT_EQ(max_isa(), parse_max_isa(limit != nullptr ? limit : ""));
  EXPECT_LE(isa(), max_isa());
}

TEST(IsaTest, EveryLowerLimitIsWhatIsUsed) {
  GTEST_FLAG_SET(death_test_style,
                 "threadsafe");  // a process of its own, which reads its own limit
  for (const Isa lower : kAll) {
    if (lower == Isa::kBase || lower > isa()) continue;
    const testing::ScopedVariable limit("AIRLOCK_MAX_ISA", std::string(isa_name(lower)));
    EXPECT_EXIT(std::exit(isa() == lower ? 0 : 1), ::testing::ExitedWithCode(0), "")
        << isa_name(lower);
  }
}

TEST(IsaTest, AWrongLimitIsAnErrorWheneverItIsAskedFor) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const testing::ScopedVariable limit("AIRLOCK_MAX_ISA", "avx3");
  const auto ask_twice = [] {
    for (int i = 0; i < 2; ++i) {
      try {
        (void)isa();
        std::exit(1);
      } catch (const Error&) {
      }
    }
    std::exit(0);
  };
  EXPECT_EXIT(ask_twice(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace airlock::isa_test
