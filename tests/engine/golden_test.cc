// The outside judge: logits of Hugging Face transformers for the same checkpoints.
#include "tests/engine/golden.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/engine/sampler.h"
#include "airlock/runner/executor.h"
#include "airlock/worker/local_operators.h"

#include "tests/support/plans.h"
#include "tests/support/split.h"

namespace airlock::golden_test {
namespace {

using testing::checkpoint_path;
using testing::logit_bound;

constexpr int kDecodeSteps = 32;

class Golden : public ::testing::TestWithParam<std::tuple<std::string, std::int64_t>> {
 protected:
  [[nodiscard]] std::string name() const { return std::get<0>(GetParam()); }
  [[nodiscard]] std::int64_t prompt() const { return std::get<1>(GetParam()); }

  [[nodiscard]] ConstTensor golden(const std::string& tensor) const {
    return goldens_.at(fmt::format("{}.{}", tensor, prompt()));
  }

  void expect_near(std::span<const float> ours, const float* theirs, double bound,
                   const std::string& what) {
    double worst = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(ours[i]) - theirs[i]));
    }
    EXPECT_LE(worst, bound) << what;
    worst_ = std::max(worst_, worst);
  }

  /// Prefill with logits of every position, then 32 greedy steps through the cache.
  void run(const Plan& plan, const Endpoint& endpoint) {
    const RunnerModel model(checkpoint_);
    const std::int64_t vocab = model.config().vocab;
    Executor executor(model, plan, endpoint);
    Sampler greedy{SamplingOptions{}};
    const std::int64_t* ids = golden("ids").as<std::int64_t>();
    const std::int64_t* tokens = golden("tokens").as<std::int64_t>();
    const bool every_row = goldens_.has(fmt::format("prefill_logits.{}", prompt()));
    const double bound = logit_bound(*checkpoint_, prompt() + kDecodeSteps);

    auto logits = executor.run(Pass{0, prompt(), every_row ? prompt() : 1},
                               {ids, static_cast<std::size_t>(prompt())});
    expect_near(logits, golden(every_row ? "prefill_logits" : "prefill_last_logits").as<float>(),
                bound, plan.name + ": prefill");
    EXPECT_EQ(greedy.sample(logits.last(static_cast<std::size_t>(vocab))), tokens[0]);
    for (int step = 0; step < kDecodeSteps; ++step) {
      logits = executor.run(Pass{prompt() + step, 1, 1}, {tokens + step, 1});
      expect_near(logits, golden("decode_logits").as<float>() + step * vocab, bound,
                  fmt::format("{}: decode step {}", plan.name, step));
      ASSERT_EQ(greedy.sample(logits), tokens[step + 1]) << plan.name << ", step " << step;
    }
    RecordProperty(plan.name, fmt::format("worst {:.3g}, bound {:.3g}", worst_, bound));
  }

  std::shared_ptr<const Checkpoint> checkpoint_ = Checkpoint::open(checkpoint_path(name()));
  testing::GoldenTensors goldens_{checkpoint_path(name()) / "goldens.safetensors"};
  double worst_ = 0;
};

TEST_P(Golden, BaselineOverTheWireEqualsTransformers) {
  testing::TestWorker worker(checkpoint_path(name()), DType::kF32);
  testing::TestSession session(worker, checkpoint_->config());
  run(find_plan("baseline"), session.client());
}

TEST_P(Golden, EveryF32PlanOverTheWireEqualsTransformers) {
  testing::TestWorker worker(checkpoint_path(name()), DType::kF32);
  for (Plan plan : testing::plain_plans()) {
    plan.wire_dtype = DType::kF32;
    for (const Side side : {Side::kWorker, Side::kRunner}) {
      plan.embedding = side;
      plan.lm_head = side;
      testing::TestSession session(worker, checkpoint_->config());
      run(plan, session.client());
    }
  }
}

TEST_P(Golden, InProcessEqualsTransformers) {
  testing::TestWorker worker(checkpoint_path(name()), DType::kF32);
  LocalOperators operators(worker.backend());
  run(find_plan("baseline"), operators);
}

TEST_P(Golden, PrefillInChunksEqualsTransformers) {
  testing::TestWorker worker(checkpoint_path(name()), DType::kF32);
  const RunnerModel model(checkpoint_);
  const double bound = logit_bound(*checkpoint_, prompt());
  const std::int64_t* ids = golden("ids").as<std::int64_t>();
  for (Plan plan : testing::plain_plans()) {
    plan.wire_dtype = DType::kF32;
    plan.chunk = 5;
    LocalOperators operators(worker.backend());
    Executor executor(model, plan, operators);
    std::span<const float> logits;
    for (const Pass& pass : make_passes(plan, prompt(), 0)) {
      logits = executor.run(pass, {ids + pass.position, static_cast<std::size_t>(pass.tokens)});
    }
    expect_near(logits, golden("prefill_last_logits").as<float>(), bound, plan.name);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Golden,
                         ::testing::Combine(::testing::Values("llama2", "llama3-gqa", "one-kv-head",
                                                              "odd-sharded", "odd-config", "bf16",
                                                              "f16"),
                                            ::testing::Values(1, 7, 33, 128)),
                         [](const auto& at) {
                           std::string name = std::get<0>(at.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name + "_" + std::to_string(std::get<1>(at.param));
                         });

}  // namespace
}  // namespace airlock::golden_test
