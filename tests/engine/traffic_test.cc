// Bytes counted where they were written and read, against hand-computed numbers and prediction.
#include <random>

#include <gtest/gtest.h>

#include "airlock/model/synth.h"
#include "airlock/plan/predict.h"
#include "airlock/runner/executor.h"

#include "tests/model/support.h"
#include "tests/support/split.h"

namespace airlock::traffic_test {
namespace {

Traffic run_and_count(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                      std::int64_t generated, testing::TestWorker& worker, const RunnerModel& model,
                      std::int64_t* largest_overhead) {
  testing::TestSession session(worker, config);
  Executor executor(model, plan, session.client());
  std::vector<std::int64_t> ids(static_cast<std::size_t>(prompt + generated), 1);
  for (const Pass& pass : make_passes(plan, prompt, generated)) {
    executor.run(pass, std::span(ids).subspan(static_cast<std::size_t>(pass.position),
                                              static_cast<std::size_t>(pass.tokens)));
  }
  Traffic traffic;
  for (const LedgerEntry& entry : session.ledger.entries()) {
    traffic.add(entry.op, entry.sent_bytes, entry.received_bytes);
    *largest_overhead = std::max(*largest_overhead, entry.overhead_bytes);
  }
  return traffic;
}

TEST(Traffic, ABaselinePrefillOfATinyModelMovesTheBytesComputedByHand) {
  // 3 layers, hidden 24, 6 heads and 2 KV heads of 4, FFN 40, vocabulary 300; 10 tokens in f32.
  ModelConfig config = testing::counted_config({3, 24, 6, 2, 4, 40, 300, 64});
  config.tie_embeddings = true;
  const testing::TempDir dir;
  synthesize(config, dir.path() / "model");
  testing::TestWorker worker(dir.path() / "model", DType::kF32);
  const RunnerModel model(Checkpoint::open(dir.path() / "model"));
  std::int64_t overhead = 0;
  const Traffic traffic =
      run_and_count(config, find_plan("baseline"), 10, 0, worker, model, &overhead);
  // Embedding: 10 ids of 8 bytes; LMHead: one row of 24.
  // Per layer, in f32 elements: x 240 -> q 240, k 80, v 80; Q 240 and repeated K 240 -> scores 600;
  // scores 600 and repeated V 240 -> 240; 240 -> 240 (o); 240 -> 400 + 400; 400 -> 240 (down).
  const std::int64_t sent = 80 + 3 * 4 * (240 + 480 + 840 + 240 + 240 + 400) + 4 * 24;
  const std::int64_t received = 4 * 240 + 3 * 4 * (400 + 600 + 240 + 240 + 800 + 240) + 4 * 300;
  EXPECT_EQ(traffic.calls(), 2 + 3 * 6);
  EXPECT_EQ(traffic.sent_bytes(), sent);
  EXPECT_EQ(traffic.received_bytes(), received);
  EXPECT_LE(overhead, 2 * 256);
}

ModelConfig random_config(std::mt19937_64& random) {
  const auto between = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  ModelConfig config;
  config.layers = between(1, 3);
  config.hidden = between(3, 40);
  config.kv_heads = between(1, 3);
  config.heads = config.kv_heads * between(1, 4);
  config.head_dim = 2 * between(1, 9);
  config.ffn = between(1, 77);
  config.vocab = between(258, 400);
  config.max_position = 64;
  config.tie_embeddings = between(0, 1) == 1;
  return config;
}

TEST(Traffic, PredictionEqualsTheLedgerForRandomModelsPlansAndLengths) {
  std::mt19937_64 random(20240611);
  for (int trial = 0; trial < 12; ++trial) {
    const ModelConfig config = random_config(random);
    const testing::TempDir dir;
    synthesize(config, dir.path() / "model");
    testing::TestWorker worker(dir.path() / "model", trial % 2 == 0 ? DType::kF32 : DType::kBF16);
    const RunnerModel model(Checkpoint::open(dir.path() / "model"));
    for (int attention = 0; attention < 5; ++attention) {
      for (int knobs = 0; knobs < 16; ++knobs) {
        Plan plan;
        plan.attention = static_cast<Attention>(attention);
        plan.mlp = static_cast<Mlp>(knobs % 2);
        plan.wire_dtype = static_cast<DType>(knobs / 2 % 4);
        plan.embedding = static_cast<Side>(random() % 2);
        plan.lm_head = static_cast<Side>(random() % 2);
        plan.chunk = static_cast<std::int64_t>(random() % 4) * 3;
        const auto prompt = static_cast<std::int64_t>(1 + random() % 20);
        const auto generated = static_cast<std::int64_t>(random() % 4);
        std::int64_t overhead = 0;
        EXPECT_EQ(run_and_count(config, plan, prompt, generated, worker, model, &overhead),
                  predict_traffic(config, plan, prompt, generated))
            << "trial " << trial << ", attention " << attention << ", knobs " << knobs;
        EXPECT_LE(overhead, 2 * 256);
      }
    }
  }
}

}  // namespace
}  // namespace airlock::traffic_test
