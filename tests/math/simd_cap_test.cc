#include "airlock/math/simd_cap.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include "airlock/core/isa.h"
#include "airlock/math/flash_kernel.h"

#include "tests/support/environment.h"

namespace airlock::simd_cap_test {
namespace {

/// The best target that Highway's kernels may run on.
std::int64_t best_target() {
  const std::int64_t targets = hwy::SupportedTargets();
  return targets & -targets;
}

TEST(SimdCapTest, HighwayStaysWithinTheLimit) {
  if (max_isa() == Isa::kAvx2) {
    EXPECT_GE(best_target(), HWY_AVX2);
  } else if (max_isa() == Isa::kAvx512) {
    EXPECT_GE(best_target(), HWY_AVX3);
  }
  EXPECT_EQ(kSimdCapped, max_isa() <= Isa::kAvx512);
}

TEST(SimdCapTest, EveryLowerLimitHoldsFromTheStart) {
  GTEST_FLAG_SET(death_test_style,
                 "threadsafe");  // a process of its own, which reads its own limit
  struct Case {
    Isa limit;
    std::int64_t target;
  };
  for (const Case& c : {Case{Isa::kAvx2, HWY_AVX2}, Case{Isa::kAvx512, HWY_AVX3}}) {
    if (c.limit > isa()) continue;
    const testing::ScopedVariable limit("AIRLOCK_MAX_ISA", std::string(isa_name(c.limit)));
    EXPECT_EXIT(std::exit(best_target() == c.target ? 0 : 1), ::testing::ExitedWithCode(0), "")
        << isa_name(c.limit);
  }
}

TEST(SimdCapTest, Bf16FlashAttentionTakesTheKernelOfTheSetInUse) {
  const std::string_view name = flash_kernel(DType::kBF16, FlashPath::kBest)->name;
  if (isa() >= Isa::kAvx512Bf16) {
    EXPECT_EQ(name, isa_name(isa()));
  } else {
    EXPECT_NE(name, "amx");
    EXPECT_NE(name, "avx512_bf16");
  }
}

}  // namespace
}  // namespace airlock::simd_cap_test
