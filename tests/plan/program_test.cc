#include "airlock/plan/program.h"

#include <gtest/gtest.h>

#include "airlock/ops/rules.h"
#include "airlock/plan/lowering.h"
#include "airlock/plan/predict.h"
#include "airlock/plan/program_cursor.h"
#include "airlock/plan/worker_sees.h"

namespace airlock::program_test {
namespace {

const ModelConfig& tiny() {
  static const ModelConfig config = config_of("tiny");
  return config;
}

std::vector<Visit> visits(const Program& program, const Batch& batch) {
  std::vector<Visit> all;
  ProgramCursor cursor(program, batch);
  for (Visit visit; cursor.next(visit);) all.push_back(visit);
  return all;
}

Batch three() {
  Batch batch;
  batch.add({0, 5, 1, 7});
  batch.add({9, 1, 1, 2});
  batch.add({4, 3, 0, 4});
  return batch;
}

TEST(ProgramCursor, VisitsEveryStepOfEveryLayerOnce) {
  for (const Plan& plan : preset_plans()) {
    const Program program = build_program(tiny(), plan);
    const auto layers = static_cast<std::size_t>(program.layers);
    const auto all = visits(program, Batch(Pass{0, 4, 1}));
    EXPECT_EQ(all.size(), program.begin.size() + layers * program.layer.size() + program.end.size())
        << plan.name;
    const auto silent = visits(program, Batch(Pass{0, 4, 0}));
    EXPECT_EQ(silent.size(), all.size() - program.end.size()) << plan.name;
  }
}

TEST(ProgramCursor, StepsBySequenceRunTogetherForOnePassAfterTheOther) {
  const Program program = build_program(tiny(), find_plan("baseline"));
  std::vector<int> passes;
  for (const Visit& visit : visits(program, three())) {
    if (visit.layer == 0 && visit.step->by_sequence) passes.push_back(visit.pass);
    EXPECT_EQ(visit.pass >= 0, visit.step->by_sequence);
  }
  EXPECT_EQ(passes, (std::vector<int>{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2}));
}

TEST(ProgramCursor, FoldedLayersCountAsMany) {
  for (const Plan& plan : preset_plans()) {
    const Program program = build_program(tiny(), plan);
    std::size_t times = 0;
    visit_steps(program, three(),
                [&](const Visit&, int n) { times += static_cast<std::size_t>(n); });
    EXPECT_EQ(times, visits(program, three()).size()) << plan.name;
  }
}

TEST(MakeCall, EveryCallOfABatchKeepsTheRulesAsItCrosses) {
  for (const Plan& plan : preset_plans()) {
    const Program program = build_program(tiny(), plan);
    for (const Visit& visit : visits(program, three())) {
      if (visit.step->kind != StepKind::kRemote) continue;
      const Call call = lower_call(make_call(visit, tiny(), three()), plan);
      EXPECT_NO_THROW((void)infer_outputs(tiny(), call)) << plan.name << ": " << describe(call);
    }
  }
}

TEST(MakeCall, LinearCallsTakeTheRowsOfAllSequencesAtOnce) {
  const Batch batch = three();
  const Program program = build_program(tiny(), find_plan("runner-attention"));
  for (const Visit& visit : visits(program, batch)) {
    if (visit.step->kind != StepKind::kRemote || visit.step->op != Op::kBatchLinear) continue;
    EXPECT_EQ(make_call(visit, tiny(), batch).inputs[0].shape[0], 9);
  }
}

TEST(PredictTraffic, ABatchMovesTheBytesOfItsSequencesInFewerCalls) {
  for (const Plan& plan : preset_plans()) {
    const std::vector<Batch> together = {three()};
    std::vector<Batch> alone;
    for (const Pass& pass : three()) alone.emplace_back(pass);
    const Traffic a = predict_traffic(tiny(), plan, together);
    const Traffic b = predict_traffic(tiny(), plan, alone);
    EXPECT_EQ(a.sent_bytes(), b.sent_bytes()) << plan.name;
    EXPECT_EQ(a.received_bytes(), b.received_bytes()) << plan.name;
    EXPECT_LT(a.calls(), b.calls()) << plan.name;
  }
}

TEST(WorkerSees, WhatTheCallsThatCrossShow) {
  const std::vector<std::string> all = {"prompt", "hidden", "qkv", "scores", "mlp", "logits"};
  for (const char* name : {"baseline", "bf16", "fused", "flash", "combined", "blocks"}) {
    EXPECT_EQ(worker_sees(find_plan(name)), all) << name;
  }
  Plan plan = find_plan("runner-attention");
  EXPECT_EQ(worker_sees(plan),
            (std::vector<std::string>{"prompt", "hidden", "qkv", "mlp", "logits"}));
  plan.embedding = Side::kRunner;
  plan.lm_head = Side::kRunner;
  EXPECT_EQ(worker_sees(plan), (std::vector<std::string>{"hidden", "qkv", "mlp"}));
  EXPECT_EQ(worker_sees(find_plan("verified")),
            (std::vector<std::string>{"hidden", "qkv", "mlp", "logits"}));
  EXPECT_TRUE(worker_sees(find_plan("private")).empty());
  EXPECT_TRUE(worker_sees(find_plan("sealed")).empty());
}

TEST(PlanAssumes, WhatSecrecyRestsOn) {
  using Words = std::vector<std::string>;
  Plan plan = find_plan("sealed");
  EXPECT_EQ(plan_assumes(plan), Words{"module-lwe"});
  plan.pads = PadKind::kDealer;
  EXPECT_EQ(plan_assumes(plan), Words{"no-collusion"});
  plan.pads = PadKind::kLocal;
  EXPECT_EQ(plan_assumes(plan), Words{});
  EXPECT_EQ(plan_assumes(find_plan("verified")), Words{});
  EXPECT_EQ(plan_assumes(find_plan("blocks")), Words{});
}

}  // namespace
}  // namespace airlock::program_test
