#include "airlock/plan/cost.h"

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/support/model_configs.h"

namespace airlock {
namespace {
using testing::odd_model;

TEST(Estimate, IsCallsTimesRttPlusBytesOverBandwidth) {
  Traffic traffic;
  traffic.add(Op::kMatmul, 3000000, 2000000, 10);
  const Estimate e = estimate(traffic, {1e6, 0.5});
  EXPECT_DOUBLE_EQ(e.link_ms, 10 * 0.5 + 5000.0);
  EXPECT_DOUBLE_EQ(e.total_ms(), e.link_ms);
  EXPECT_DOUBLE_EQ(estimate(traffic, {0, 0.5}).link_ms, 5.0);
  EXPECT_DOUBLE_EQ(estimate(traffic, {1e6, 0}, {2e9, 1e9}, {1e9, 1e9}).compute_ms, 3000.0);
  EXPECT_DOUBLE_EQ(estimate(traffic, {1e6, 0}, {2e9, 1e9}, {}).compute_ms, 0.0);
}

TEST(PredictWork, CountsTheLinearOperatorsOfALayerByHand) {
  const ModelConfig c = odd_model();
  const std::int64_t n = 7;
  Plan plan = find_plan("runner-attention");
  const Work work = predict_work(c, plan, n, 0);
  const std::int64_t layer = 40 * 60 + 2 * 40 * 20 + 60 * 40 + 3 * 40 * 91;
  EXPECT_DOUBLE_EQ(work.worker_flops, static_cast<double>(2 * n * layer * c.layers + 2 * 40 * 257));
  // Rows see 1, 2, … 7 keys: 28 pairs, two products of head_dim 10 for each of six heads.
  EXPECT_DOUBLE_EQ(work.runner_flops, static_cast<double>(3 * 28 * 6 * 2 * 2 * 10));
}

TEST(PredictWork, PlansMoveWorkButDoNotChangeIt) {
  const ModelConfig c = odd_model();
  const auto sum = [&](const Plan& plan) {
    const Work work = predict_work(c, plan, 33, 5);
    return work.worker_flops + work.runner_flops;
  };
  const double expected = sum(find_plan("flash"));
  for (const char* name : {"fused", "combined", "runner-attention", "blocks"}) {
    EXPECT_DOUBLE_EQ(sum(find_plan(name)), expected) << name;
  }
  Plan plan = find_plan("flash");
  plan.lm_head = Side::kRunner;
  EXPECT_DOUBLE_EQ(sum(plan), expected);
  EXPECT_GT(predict_work(c, plan, 33, 5).runner_flops, 0);
  plan.chunk = 8;
  EXPECT_DOUBLE_EQ(sum(plan), expected);
  // Scores that the mask will hide are multiplied by Matmul all the same.
  EXPECT_GT(sum(find_plan("baseline")), expected);
}

TEST(PredictWork, RefusesWhatPredictTrafficRefuses) {
  EXPECT_THROW(predict_work(odd_model(), find_plan("flash"), 0, 0), Error);
  EXPECT_THROW(predict_work(odd_model(), find_plan("flash"), 4097, 0), Error);
}

}  // namespace
}  // namespace airlock
