#include "airlock/plan/cost.h"

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/model/config.h"
#include "airlock/plan/predict.h"

#include "tests/support/model_configs.h"

namespace airlock::cost_test {
namespace {

using testing::odd_model;

const ModelConfig& llama_1b() {
  static const ModelConfig config = config_of("llama-3.2-1b");
  return config;
}

HostRates rates() {
  HostRates rates;
  rates.worker = {{1, 1e10}, {64, 5e10}, {256, 1e11}};
  rates.runner_flops = 5e10;
  rates.runner_bytes = 1e10;
  rates.send_rate = 162e6;
  rates.receive_rate = 81e6;
  rates.rtt_ms = 0.1;
  return rates;
}

/// Operations of all steps, by side: what the stages take at one operation a second.
struct Work {
  double worker = 0;
  double runner = 0;
};
Work work_of(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
             std::int64_t generated) {
  HostRates one;
  one.worker = {{1, 1}};
  one.runner_flops = 1;
  const Stages stages = plan_stages(config, plan, prompt, generated, one).sum();
  return {stages.worker_ms / 1e3, stages.runner_ms / 1e3};
}

TEST(PlanStages, CallsAfterOneAnotherTakeRttAndBytesOverBandwidth) {
  HostRates link;
  link.send_rate = link.receive_rate = 1e6;
  link.rtt_ms = 0.5;
  const Plan plan = find_plan("baseline");
  const Traffic traffic = predict_traffic(odd_model(), plan, 7, 3);
  const double transit = static_cast<double>(traffic.total_bytes()) / 1e3;
  const double turns = 0.5 * static_cast<double>(traffic.calls());
  const auto link_ms = [&] { return plan_stages(odd_model(), plan, 7, 3, link).sum().link_ms(); };
  EXPECT_NEAR(link_ms(), transit + turns, 1e-6);
  EXPECT_DOUBLE_EQ(plan_stages(odd_model(), plan, 7, 3, link).sum().one_after_the_other(),
                   link_ms())
      << "unknown rates take no time";
  link.rtt_ms = 0;
  EXPECT_NEAR(link_ms(), transit, 1e-6);
  link = {};
  link.rtt_ms = 0.5;
  EXPECT_NEAR(link_ms(), turns, 1e-6);
}

TEST(PlanStages, CountTheLinearOperatorsOfALayerByHand) {
  const ModelConfig c = odd_model();
  const std::int64_t n = 7;
  const Work work = work_of(c, find_plan("runner-attention"), n, 0);
  const std::int64_t layer = 40 * 60 + 2 * 40 * 20 + 60 * 40 + 3 * 40 * 91;
  EXPECT_NEAR(work.worker, static_cast<double>(2 * n * layer * c.layers + 2 * 40 * 257), 1e-3);
  // Rows see 1, 2, … 7 keys: 28 pairs, two products of head_dim 10 for each of six heads.
  EXPECT_NEAR(work.runner, static_cast<double>(3 * 28 * 6 * 2 * 2 * 10), 1e-3);
}

TEST(PlanStages, PlansMoveWorkButDoNotChangeIt) {
  const ModelConfig c = odd_model();
  const auto sum = [&](const Plan& plan) {
    const Work work = work_of(c, plan, 33, 5);
    return work.worker + work.runner;
  };
  const double expected = sum(find_plan("flash"));
  for (const char* name : {"fused", "combined", "runner-attention", "blocks"}) {
    EXPECT_NEAR(sum(find_plan(name)), expected, 1e-9 * expected) << name;
  }
  Plan plan = find_plan("flash");
  plan.lm_head = Side::kRunner;
  EXPECT_NEAR(sum(plan), expected, 1e-9 * expected);
  EXPECT_GT(work_of(c, plan, 33, 5).runner, 0);
  plan.chunk = 8;
  EXPECT_NEAR(sum(plan), expected, 1e-9 * expected);
  // Scores that the mask will hide are multiplied by Matmul all the same.
  EXPECT_GT(sum(find_plan("baseline")), expected);
}

TEST(PlanStages, RefuseWhatPredictTrafficRefuses) {
  EXPECT_THROW(plan_stages(odd_model(), find_plan("flash"), 0, 0, {}), Error);
  EXPECT_THROW(plan_stages(odd_model(), find_plan("flash"), 4097, 0, {}), Error);
}

TEST(PlanStages, TakeTheBytesAndCallsThatThePredictorCounts) {
  for (const Plan& preset : preset_plans()) {
    for (const std::int64_t chunk : {0, 256}) {
      Plan plan = preset;
      plan.chunk = chunk;
      const PlanStages stages = plan_stages(llama_1b(), plan, 1024, 9, rates());
      const Traffic all = predict_traffic(llama_1b(), plan, 1024, 9);
      const Traffic prefill = predict_traffic(llama_1b(), plan, 1024, 1);
      EXPECT_EQ(stages.passes, chunk == 0 ? 1 : 4) << plan.name;
      const auto near = [&](double ms, double expected) {
        EXPECT_NEAR(ms, expected, 1e-6 * expected) << plan.name << " in chunks of " << chunk;
      };
      near(stages.prefill.send_ms, static_cast<double>(prefill.sent_bytes()) / 162e3);
      near(stages.prefill.receive_ms, static_cast<double>(prefill.received_bytes()) / 81e3);
      near(stages.prefill.round_trips_ms, 0.1 * static_cast<double>(prefill.calls()));
      near(stages.decode.send_ms,
           static_cast<double>(all.sent_bytes() - prefill.sent_bytes()) / 162e3);
      near(stages.decode.round_trips_ms, 0.1 * static_cast<double>(all.calls() - prefill.calls()));
    }
  }
}

TEST(PlanStages, TakeTheWorkersRateAtTheRowsOfACall) {
  Plan plan = find_plan("blocks");
  HostRates flat = rates();
  flat.worker = {{1, 1e10}};
  const double slow = plan_stages(llama_1b(), plan, 1024, 0, flat).prefill.worker_ms;
  const double fast = plan_stages(llama_1b(), plan, 1024, 0, rates()).prefill.worker_ms;
  EXPECT_NEAR(slow / fast, 10, 0.7) << "ten times the rate from 256 rows on";
  plan.chunk = 64;
  const double chunked = plan_stages(llama_1b(), plan, 1024, 0, rates()).prefill.worker_ms;
  EXPECT_NEAR(chunked / fast, 2, 0.2) << "half of it at 64";
  plan.chunk = 128;  // log2: half way between 64 and 256
  const double between = plan_stages(llama_1b(), plan, 1024, 0, rates()).prefill.worker_ms;
  EXPECT_NEAR(chunked / between, 1.5, 0.15);
}

TEST(PlanStages, PlansThatKeepMoreInTheRunnerKeepItBusier) {
  const auto runner_ms = [](const char* name) {
    return plan_stages(llama_1b(), find_plan(name), 1024, 0, rates()).prefill.runner_ms;
  };
  EXPECT_GT(runner_ms("baseline"), runner_ms("flash"));
  EXPECT_GT(runner_ms("runner-attention"), runner_ms("combined"));
  EXPECT_GT(runner_ms("combined"), runner_ms("blocks"));
}

TEST(WallMs, IsTheSumWithOneLaneAndNearsTheLongestPartWithMany) {
  PlanStages stages;
  stages.prefill = {100, 300, 500, 400, 50};
  stages.decode = {1, 2, 3, 4, 5};
  stages.passes = 16;
  EXPECT_DOUBLE_EQ(wall_ms(stages, 1, false), 1350 + 15);
  EXPECT_DOUBLE_EQ(wall_ms(stages, 2, false), 500 + 850.0 / 2 + 15);
  EXPECT_DOUBLE_EQ(wall_ms(stages, 16, false), 500 + 850.0 / 16 + 15);
  EXPECT_DOUBLE_EQ(wall_ms(stages, 64, false), wall_ms(stages, 16, false)) << "there are 16 passes";
}

TEST(WallMs, AddsUpTheWorkOfSidesThatShareCores) {
  PlanStages stages;
  stages.prefill = {300, 300, 500, 0, 0};
  stages.passes = 100;
  EXPECT_DOUBLE_EQ(stages.prefill.longest(false), 500);
  EXPECT_DOUBLE_EQ(stages.prefill.longest(true), 600);
  EXPECT_GT(wall_ms(stages, 100, true), 1.1 * 600)
      << "both work at once, and get in each other's way";
  EXPECT_DOUBLE_EQ(wall_ms(stages, 1, true), wall_ms(stages, 1, false));
}

}  // namespace
}  // namespace airlock::cost_test
