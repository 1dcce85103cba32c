#include "airlock/report/infer.h"

#include <random>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/plan/knobs.h"
#include "airlock/report/summary.h"

#include "tests/report/fake_ledger.h"

namespace airlock {
namespace {

std::vector<Plan> all_plans() {
  std::vector<Plan> plans;
  for (const auto attention : {Attention::kMatmul, Attention::kFused, Attention::kFlash,
                               Attention::kRunner, Attention::kBlock}) {
    for (const auto mlp : {Mlp::kSplit, Mlp::kBlock}) {
      for (const auto dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
        for (const auto side : {Side::kWorker, Side::kRunner}) {
          Plan plan;
          plan.attention = attention;
          plan.mlp = mlp;
          plan.wire_dtype = dtype;
          plan.lm_head = side;
          plans.push_back(plan);
        }
      }
    }
  }
  return plans;
}

TEST(InferRun, ReadsPlanDimensionsAndTokensBackFromTheBytes) {
  for (const Plan& plan : all_plans()) {
    const auto ledger = fake_ledger(odd_model(), plan, 33, 5);
    const auto run = infer_run(ledger);
    ASSERT_TRUE(run.has_value()) << plan_name(plan);
    EXPECT_TRUE(run->exact);
    EXPECT_TRUE(same_knobs(run->plan, plan)) << plan_name(plan);
    ASSERT_EQ(run->sequences.size(), 1U);
    EXPECT_EQ(run->sequences[0].prompt, 33);
    EXPECT_EQ(run->sequences[0].generated, 5);
    EXPECT_EQ(run->config.hidden, 40);
    EXPECT_EQ(run->config.layers, 3);
    if (run->knows_attention) {
      EXPECT_EQ(run->config.q_dim(), 60) << plan_name(plan);
      EXPECT_EQ(run->config.kv_dim(), 20) << plan_name(plan);
    }
    if (run->knows_heads) {
      EXPECT_EQ(run->config.heads, 6);
    }
    if (run->knows_mlp) {
      EXPECT_EQ(run->config.ffn, 91);
    }
    if (run->knows_vocab) {
      EXPECT_EQ(run->config.vocab, 257);
    }
  }
}

TEST(InferRun, WhatItPredictsOfAnotherPlanIsWhatThatPlanSends) {
  for (const Plan& plan : all_plans()) {
    const auto run = infer_run(fake_ledger(odd_model(), plan, 17, 3));
    ASSERT_TRUE(run.has_value());
    int predicted = 0;
    for (Plan other : all_plans()) {
      if (!run->can_predict(other)) continue;
      EXPECT_EQ(run->predict(other), predict_traffic(odd_model(), other, 17, 3))
          << plan_name(plan) << " to " << plan_name(other);
      ++predicted;
    }
    EXPECT_GT(predicted, 0);
  }
}

TEST(InferRun, SeveralSequencesAreToldApart) {
  std::vector<LedgerEntry> ledger;
  append_run(ledger, odd_model(), find_plan("flash"), 20, 4);
  append_run(ledger, odd_model(), find_plan("flash"), 31, 1);
  append_run(ledger, odd_model(), find_plan("flash"), 31, 2);
  const auto run = infer_run(ledger);
  ASSERT_TRUE(run.has_value());
  ASSERT_EQ(run->sequences.size(), 3U);
  EXPECT_EQ(run->sequences[0].generated, 4);
  EXPECT_EQ(run->sequences[2].prompt, 31);
  EXPECT_EQ(run->predict(run->plan), summarize(ledger).traffic());
}

TEST(InferRun, ChunkedPrefillIsSeenAsChunks) {
  for (const char* name : {"baseline", "fused", "flash", "blocks"}) {
    Plan plan = find_plan(name);
    plan.chunk = 8;
    const auto run = infer_run(fake_ledger(odd_model(), plan, 33, 3));
    ASSERT_TRUE(run.has_value()) << name;
    EXPECT_EQ(run->plan.chunk, 8) << name;
    EXPECT_EQ(run->sequences[0].prompt, 33) << name;
  }
}

TEST(InferRun, WithoutAnythingThatRevealsTheWidthItTakesAKnownModel) {
  Plan plan = find_plan("runner-attention");
  plan.embedding = Side::kRunner;
  plan.lm_head = Side::kRunner;
  const auto ledger = fake_ledger(odd_model(), plan, 9, 2);
  EXPECT_FALSE(infer_run(ledger).has_value());
  const ModelConfig known = odd_model();
  const auto run = infer_run(ledger, &known);
  ASSERT_TRUE(run.has_value());
  EXPECT_TRUE(run->exact);
  EXPECT_EQ(run->sequences[0].prompt, 9);
}

TEST(InferRun, AKnownModelShowsAByteTooMany) {
  const ModelConfig known = odd_model();
  auto ledger = fake_ledger(odd_model(), find_plan("baseline"), 9, 2);
  ledger[3].received_bytes += 1;
  EXPECT_FALSE(infer_run(ledger).has_value());
  const auto run = infer_run(ledger, &known);
  ASSERT_TRUE(run.has_value());
  EXPECT_FALSE(run->exact);
}

TEST(InferRun, AnotherModelOrAnIncompleteOrMixedRunIsRefused) {
  const ModelConfig other = llama_1b();
  auto ledger = fake_ledger(odd_model(), find_plan("baseline"), 9, 2);
  EXPECT_FALSE(infer_run(ledger, &other).has_value());
  auto cut = ledger;
  cut.pop_back();
  cut.pop_back();
  EXPECT_FALSE(infer_run(cut).has_value());
  auto mixed = ledger;
  mixed.back().wire_dtype = DType::kBF16;
  EXPECT_FALSE(infer_run(mixed).has_value());
  EXPECT_FALSE(infer_run({}).has_value());
}

TEST(InferRun, NoForgedBytesMakeItThrowOrHang) {
  std::mt19937_64 random(7);
  const std::vector<Plan> plans = all_plans();
  for (int i = 0; i < 3000; ++i) {
    Plan plan = plans[random() % plans.size()];
    plan.chunk = static_cast<std::int64_t>(random() % 3);
    auto ledger = fake_ledger(odd_model(), plan, 5, 2);
    for (int change = 0; change < 3; ++change) {
      LedgerEntry& e = ledger[random() % ledger.size()];
      const auto bytes = static_cast<std::int64_t>((random() >> 16) >> (random() % 48));
      (random() % 2 == 0 ? e.sent_bytes : e.received_bytes) = bytes;
    }
    EXPECT_NO_THROW({
      const auto run = infer_run(ledger);
      if (run) {
        EXPECT_EQ(run->predict(run->plan), summarize(ledger).traffic());
      }
    });
  }
}

}  // namespace
}  // namespace airlock
