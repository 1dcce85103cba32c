#include "airlock/report/ledger_run.h"

#include <random>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/plan/knobs.h"
#include "airlock/report/summary.h"

#include "tests/report/fake_ledger.h"

namespace airlock::ledger_run_test {
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
          plan.embedding = side;
          plans.push_back(plan);
          plan.embedding = side == Side::kWorker ? Side::kRunner : Side::kWorker;
          plans.push_back(plan);
        }
      }
    }
  }
  return plans;
}

LedgerRun run_of(const Plan& plan, const std::vector<LedgerEntry>& calls,
                 const ModelConfig& config = odd_model()) {
  return find_run(config, plan, calls).value_or(LedgerRun{});
}

TEST(FindRun, CountsTheTokensOfEveryPlan) {
  for (Plan plan : all_plans()) {
    for (const std::int64_t chunk : {0, 8}) {
      plan.chunk = chunk;
      const LedgerRun run = run_of(plan, fake_ledger(odd_model(), plan, 33, 5));
      ASSERT_EQ(run.sequences.size(), 1U) << plan_name(plan);
      EXPECT_EQ(run.sequences[0].prompt, 33) << plan_name(plan);
      EXPECT_EQ(run.sequences[0].generated, 5) << plan_name(plan);
    }
  }
}

TEST(FindRun, PredictsWhatTheLedgerHasAndWhatAnotherPlanSends) {
  for (Plan plan : all_plans()) {
    // Of whole chunks: without logits nobody can tell the last from a token that is decoded.
    for (const std::int64_t chunk : {0, 4}) {
      plan.chunk = chunk;
      const auto ledger = fake_ledger(odd_model(), plan, 16, 3);
      const LedgerRun run = run_of(plan, ledger);
      EXPECT_EQ(run.predict(plan), summarize(ledger).traffic()) << plan_name(plan);
      if (chunk != 0) continue;
      for (const Plan& other : all_plans()) {
        EXPECT_EQ(run.predict(other), predict_traffic(odd_model(), other, 16, 3));
      }
    }
  }
}

TEST(FindRun, SeveralSequencesAreToldApart) {
  std::vector<LedgerEntry> ledger;
  append_run(ledger, odd_model(), find_plan("flash"), 20, 4);
  append_run(ledger, odd_model(), find_plan("flash"), 31, 1);
  append_run(ledger, odd_model(), find_plan("flash"), 31, 2);
  const LedgerRun run = run_of(find_plan("flash"), ledger);
  ASSERT_EQ(run.sequences.size(), 3U);
  EXPECT_EQ(run.sequences[0].generated, 4);
  EXPECT_EQ(run.sequences[2].prompt, 31);
  EXPECT_EQ(run.predict(run.plan), summarize(ledger).traffic());
}

TEST(FindRun, SequencesThatDecodeSideBySideAreWhatTheLedgerSays) {
  for (Plan plan : all_plans()) {
    for (const std::int64_t chunk : {0, 4}) {
      plan.chunk = chunk;
      const auto ledger = fake_side_by_side(odd_model(), plan, {5, 8, 4});
      const auto run = find_run(odd_model(), plan, ledger, SideBySide{5, 8, 4});
      ASSERT_TRUE(run.has_value()) << plan_name(plan);
      ASSERT_EQ(run->sequences.size(), 5U);
      EXPECT_EQ(run->sequences[4].prompt, 8);
      EXPECT_EQ(run->sequences[4].generated, 4);
      EXPECT_EQ(run->predict(plan), summarize(ledger).traffic()) << plan_name(plan);
      // Which is what the calls alone do not tell.
      const auto guess = find_run(odd_model(), plan, ledger);
      if (!guess || plan.lm_head == Side::kRunner) continue;
      EXPECT_NE(guess->predict(plan), summarize(ledger).traffic()) << plan_name(plan);
    }
  }
}

TEST(FindRun, SequencesThatCannotBeTheCallsAreNoRun) {
  const Plan plan = find_plan("flash");
  const auto ledger = fake_ledger(odd_model(), plan, 9, 2);
  const auto calls = static_cast<std::int64_t>(ledger.size());
  EXPECT_TRUE(find_run(odd_model(), plan, ledger, SideBySide{1, 4095, 2}).has_value());
  for (const SideBySide& wrong :
       {SideBySide{1, 4097, 0}, SideBySide{1, 4095, 3}, SideBySide{1, 9, calls + 1},
        SideBySide{64, 9, calls}, SideBySide{1, std::int64_t{1} << 53, 1}}) {
    EXPECT_FALSE(find_run(odd_model(), plan, ledger, wrong).has_value());
  }
}

TEST(FindRun, CallsOfAnotherModelOrOfNoWholeTokensAreNoRun) {
  const Plan plan = find_plan("baseline");
  auto ledger = fake_ledger(odd_model(), plan, 9, 2);
  ModelConfig shorter = odd_model();
  shorter.max_position = 9;
  EXPECT_FALSE(find_run(shorter, plan, ledger).has_value());
  EXPECT_FALSE(find_run(odd_model(), plan, {}).has_value());
  ledger.front().sent_bytes += 1;
  EXPECT_FALSE(find_run(odd_model(), plan, ledger).has_value());
}

TEST(FindRun, WhereNoCallTellsWhereAPassBeginsThereIsNone) {
  Plan plan = find_plan("runner-attention");
  plan.embedding = Side::kRunner;
  ModelConfig config = odd_model();
  config.ffn = (config.q_dim() + 2 * config.kv_dim()) / 2;
  EXPECT_FALSE(find_run(config, plan, fake_ledger(config, plan, 9, 2)).has_value());
}

TEST(FindRun, NoForgedBytesMakeItThrowOrHang) {
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
      const auto run = find_run(odd_model(), plan, ledger);
      if (run) (void)run->predict(plan);
    });
  }
}

}  // namespace
}  // namespace airlock::ledger_run_test
