#include "airlock/worker/cuda/sdpa_shape.h"

#include <limits>

#include <gtest/gtest.h>

namespace airlock::cuda {
namespace {

SdpaShape shape_of(std::int64_t tokens, std::int64_t position = 0) {
  return {tokens, position, 32, 8, 64, 4096, DType::kBF16};
}

TEST(CudaSdpaShape, CountsTheOperationsThatTheMaskLeaves) {
  EXPECT_EQ(shape_of(1).flops(), 4.0 * 32 * 64);
  EXPECT_EQ(shape_of(3).flops(), 4.0 * 32 * 64 * (1 + 2 + 3));
  EXPECT_EQ(shape_of(3, 10).flops(), 4.0 * 32 * 64 * (11 + 12 + 13));
  EXPECT_EQ(shape_of(3, 10).context(), 13);
}

/// Plans that are numbers, and how often one was asked for.
struct Maker {
  std::unique_ptr<int> operator()() {
    ++asked;
    return works ? std::make_unique<int>(asked) : nullptr;
  }
  int asked = 0;
  bool works = true;
};

TEST(CudaSdpaPlans, AShapeGetsItsPlanOnceItsWorkIsWorthIt) {
  const SdpaShape shape = shape_of(64);
  SdpaPlans<int> plans(2.5 * shape.flops());
  Maker make;
  const auto find = [&](const SdpaShape& of) { return plans.find(of, [&] { return make(); }); };
  EXPECT_EQ(find(shape), nullptr);
  EXPECT_EQ(find(shape_of(64, 1)), nullptr);  // another shape, another account
  EXPECT_EQ(find(shape), nullptr);
  EXPECT_EQ(make.asked, 0);
  ASSERT_NE(find(shape), nullptr);
  EXPECT_EQ(*find(shape), 1);
  EXPECT_EQ(make.asked, 1);
}

TEST(CudaSdpaPlans, WhatHasNoPlanOrFailedIsNotAskedForAgain) {
  SdpaPlans<int> plans(0);
  Maker none{0, false};
  EXPECT_EQ(plans.find(shape_of(64), [&] { return none(); }), nullptr);
  EXPECT_EQ(plans.find(shape_of(64), [&] { return none(); }), nullptr);
  EXPECT_EQ(none.asked, 1);
  Maker make;
  ASSERT_NE(plans.find(shape_of(65), [&] { return make(); }), nullptr);
  plans.drop(shape_of(65));
  EXPECT_EQ(plans.find(shape_of(65), [&] { return make(); }), nullptr);
  EXPECT_EQ(make.asked, 1);
}

TEST(CudaSdpaPlans, WithoutAWorthThereAreNone) {
  SdpaPlans<int> plans(std::numeric_limits<double>::infinity());
  Maker make;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(plans.find(shape_of(4096), [&] { return make(); }), nullptr);
  }
}

TEST(CudaSdpaPlans, TheLeastRecentlyUsedMakesRoom) {
  SdpaPlans<int> plans(0);
  Maker make;
  const auto find = [&](std::int64_t tokens) {
    return *plans.find(shape_of(tokens), [&] { return make(); });
  };
  const int most = static_cast<int>(plans.kMost);
  for (int i = 1; i <= most; ++i) EXPECT_EQ(find(i), i);
  EXPECT_EQ(find(1), 1);
  EXPECT_EQ(find(most + 1), most + 1);  // in place of the plan for 2
  EXPECT_EQ(plans.size(), plans.kMost);
  EXPECT_EQ(find(1), 1);
  EXPECT_EQ(find(2), most + 2);
}

}  // namespace
}  // namespace airlock::cuda
