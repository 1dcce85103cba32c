#include "airlock/plan/knobs.h"

#include <set>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::knobs_test {
namespace {

TEST(PlanName, IsThePresetsWhereTheKnobsAreOnes) {
  for (Plan plan : preset_plans()) {
    const std::string name = plan.name;
    plan.name = "custom";
    EXPECT_EQ(plan_name(plan), name);
    const Plan base = find_plan("baseline");
    EXPECT_EQ(plan_name(plan, &base), name);
  }
}

TEST(PlanName, SaysWhatDiffersInAFixedOrder) {
  const auto name = [](const char* base, const Knobs& knobs) {
    return with_knobs(find_plan(base), knobs).name;
  };
  EXPECT_EQ(name("flash", {.wire_dtype = DType::kF16}), "flash+f16");
  EXPECT_EQ(name("baseline", {.attention = Attention::kFlash}), "flash");
  EXPECT_EQ(name("baseline", {.attention = Attention::kRunner}), "baseline+runner-attention");
  EXPECT_EQ(name("blocks", {.mlp = Mlp::kSplit, .wire_dtype = DType::kI8}),
            "blocks+mlp-split+int8");
  EXPECT_EQ(name("combined", {.embedding = Side::kRunner, .lm_head = Side::kRunner, .chunk = 256}),
            "combined+runner-embedding+runner-lm-head+chunk256");
  EXPECT_EQ(name("baseline", {.attention = Attention::kBlock}), "baseline+attention-block");
  EXPECT_EQ(name("bf16", {}), "bf16");
  EXPECT_EQ(name("sealed", {.verify = false}), "private");
  EXPECT_EQ(name("private", {.mask = Mask::kNone, .verify = true}), "verified");
  EXPECT_EQ(name("sealed", {.chunk = 64, .soundness = 62, .pads = PadKind::kDealer}),
            "sealed+chunk64+soundness62+dealer");
  EXPECT_EQ(name("private", {.soundness = 62}), "private");  // nothing is checked
  EXPECT_EQ(name("verified", {.verify = false}), "verified+no-verify");
}

TEST(PlanName, WithoutABaseStartsFromTheNearestPreset) {
  Plan plan = find_plan("blocks");
  plan.embedding = Side::kRunner;
  EXPECT_EQ(plan_name(plan), "blocks+runner-embedding");
  plan = find_plan("combined");
  plan.chunk = 64;
  EXPECT_EQ(plan_name(plan), "combined+chunk64");
}

TEST(PlanName, DifferentKnobsHaveDifferentNames) {
  std::set<std::string> names;
  int plans = 0;
  for (int a = 0; a < 5; ++a) {
    for (int m = 0; m < 2; ++m) {
      for (int d = 0; d < 4; ++d) {
        for (int s = 0; s < 4; ++s) {
          for (const std::int64_t chunk : {0, 16}) {
            Plan plan;
            plan.attention = static_cast<Attention>(a);
            plan.mlp = static_cast<Mlp>(m);
            plan.wire_dtype = static_cast<DType>(d);
            plan.embedding = static_cast<Side>(s % 2);
            plan.lm_head = static_cast<Side>(s / 2);
            plan.chunk = chunk;
            names.insert(plan_name(plan));
            ++plans;
          }
        }
      }
    }
  }
  EXPECT_EQ(static_cast<int>(names.size()), plans);
}

TEST(WithKnobs, ChangesOnlyWhatWasNamed) {
  const Plan plan = with_knobs(find_plan("blocks"), {.embedding = Side::kRunner});
  EXPECT_EQ(plan.embedding, Side::kRunner);
  EXPECT_EQ(plan.attention, Attention::kBlock);
  EXPECT_EQ(plan.wire_dtype, DType::kBF16);
  EXPECT_EQ(with_knobs(find_plan("flash"), {}), find_plan("flash"));
}

TEST(WithKnobs, RefusesImpossibleKnobs) {
  EXPECT_THROW(with_knobs(find_plan("flash"), {.wire_dtype = DType::kI64}), Error);
  EXPECT_THROW(with_knobs(find_plan("flash"), {.chunk = -1}), Error);
  EXPECT_THROW(with_knobs(find_plan("flash"), {.mask = Mask::kPads}), Error);
  EXPECT_THROW(with_knobs(find_plan("flash"), {.verify = true}), Error);
  EXPECT_THROW(with_knobs(find_plan("flash"), {.wire_dtype = DType::kRing}), Error);
  EXPECT_THROW(with_knobs(find_plan("sealed"), {.attention = Attention::kFlash}), Error);
  EXPECT_THROW(with_knobs(find_plan("sealed"), {.mlp = Mlp::kBlock}), Error);
  EXPECT_THROW(with_knobs(find_plan("sealed"), {.wire_dtype = DType::kF32}), Error);
  EXPECT_THROW(with_knobs(find_plan("sealed"), {.embedding = Side::kWorker}), Error);
  EXPECT_THROW(with_knobs(find_plan("sealed"), {.soundness = 30}), Error);
  EXPECT_NO_THROW(with_knobs(find_plan("sealed"), {.lm_head = Side::kRunner, .chunk = 7}));
}

}  // namespace
}  // namespace airlock::knobs_test
