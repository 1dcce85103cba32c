#include "airlock/kernels/safe_terms.h"

#include <vector>

#include <gtest/gtest.h>

namespace airlock::testing::safe_terms_test {
namespace {

TEST(SafeTermsTest, OnlyBf16OnAmxWithARestOf31IsPaddedToTheNextBlock) {
  for (std::int64_t terms = 1; terms <= 9000; ++terms) {
    const bool wrong = terms > 32 && terms % 32 == 31;
    EXPECT_EQ(safe_terms(terms, DType::kBF16, true), wrong ? terms + 1 : terms);
    EXPECT_EQ(safe_terms(terms, DType::kF32, true), terms);
    EXPECT_EQ(safe_terms(terms, DType::kBF16, false), terms);
  }
  EXPECT_EQ(safe_terms(63, DType::kBF16, true), 64);
}

TEST(SafeTermsTest, WhatIsSafeIsSafe) {
  for (std::int64_t terms = 1; terms <= 9000; ++terms) {
    const std::int64_t safe = safe_terms(terms, DType::kBF16, true);
    EXPECT_EQ(safe_terms(safe, DType::kBF16, true), safe);
  }
}

TEST(SafeTermsTest, PaddingPutsZerosBehindRowsAndColumnsOfEveryMatrix) {
  // Two matrices of 2 x 3, batch-major, then the same token-major.
  const std::vector<std::uint16_t> batch_major = {1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16};
  const std::vector<std::uint16_t> token_major = {1, 2, 3, 11, 12, 13, 4, 5, 6, 14, 15, 16};
  const std::vector<std::uint16_t> wide = {1,  2,  3,  0, 4,  5,  6,  0, 0, 0, 0, 0,
                                           11, 12, 13, 0, 14, 15, 16, 0, 0, 0, 0, 0};
  std::vector<std::uint16_t> out(wide.size(), 99);
  pad({batch_major.data(), 2, 2, 3, false}, 2, 3, 4, out.data());
  EXPECT_EQ(out, wide);
  out.assign(wide.size(), 99);
  pad({token_major.data(), 2, 2, 3, true}, 2, 3, 4, out.data());
  EXPECT_EQ(out, wide);
}

}  // namespace
}  // namespace airlock::testing::safe_terms_test
