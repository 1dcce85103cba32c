// What narrower tensors on the wire do to the logits, against transformers' in f32.
#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "airlock/engine/sampler.h"
#include "airlock/model/safetensors.h"
#include "airlock/runner/executor.h"

#include "tests/engine/golden.h"
#include "tests/support/plans.h"
#include "tests/support/split.h"

namespace airlock::wire_dtype_test {
namespace {

constexpr std::array kCheckpoints = {"llama2",      "llama3-gqa", "one-kv-head",
                                     "odd-sharded", "bf16",       "f16"};
constexpr std::array<std::int64_t, 3> kPrompts = {7, 33, 128};
constexpr int kSteps = 32;

/// Error of one crossing relative to the norm of a row: the unit roundoff 2^-p of the format, or
/// for int8 half a step of max|x| / 127 in each of K elements, where max|x| is at most the norm.
double unit_error(DType dtype, const ModelConfig& config) {
  if (dtype == DType::kBF16) return 0x1p-8;
  if (dtype == DType::kF16) return 0x1p-11;
  return std::sqrt(static_cast<double>(std::max(config.hidden, config.ffn))) / 254;
}

/// A layer's longest path crosses the link at most 12 times (matmul attention); embedding, last row
/// and logits add three. Errors of crossings are added up linearly, as in the bound for f32.
double logit_bound(DType dtype, const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  const double crossings = 12.0 * static_cast<double>(config.layers) + 3;
  return crossings * unit_error(dtype, config) * testing::logit_scale(checkpoint);
}

struct Agreement {
  int positions = 0;
  int equal = 0;
  double worst_share = 0;  ///< of the bound
};

/// Teacher-forced greedy tokens of a plan against transformers', over all prompts of a checkpoint.
void compare(const std::string& name, const Plan& plan, Agreement& agreement) {
  const auto checkpoint = Checkpoint::open(testing::checkpoint_path(name));
  const testing::GoldenTensors goldens(testing::checkpoint_path(name) / "goldens.safetensors");
  const RunnerModel model(checkpoint);
  const std::int64_t vocab = model.config().vocab;
  const double bound = logit_bound(plan.wire_dtype, *checkpoint);
  testing::TestWorker worker(testing::checkpoint_path(name), DType::kF32);
  testing::TestSession session(worker, model.config());
  Executor executor(model, plan, session.client());
  Sampler greedy{SamplingOptions{}};
  const auto check = [&](std::span<const float> logits, const float* theirs, std::int64_t token) {
    ++agreement.positions;
    agreement.equal += greedy.sample(logits) == token ? 1 : 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double difference = std::abs(static_cast<double>(logits[i]) - theirs[i]);
      agreement.worst_share = std::max(agreement.worst_share, difference / bound);
    }
  };
  for (const std::int64_t n : kPrompts) {
    const auto golden = [&](const char* tensor) {
      return goldens.at(fmt::format("{}.{}", tensor, n));
    };
    const std::int64_t* ids = golden("ids").as<std::int64_t>();
    const std::int64_t* tokens = golden("tokens").as<std::int64_t>();
    check(executor.run(Pass{0, n, 1}, {ids, static_cast<std::size_t>(n)}),
          golden("prefill_last_logits").as<float>(), tokens[0]);
    for (int step = 0; step < kSteps; ++step) {
      check(executor.run(Pass{n + step, 1, 1}, {tokens + step, 1}),
            golden("decode_logits").as<float>() + step * vocab, tokens[step + 1]);
    }
  }
}

class WireDType : public ::testing::TestWithParam<DType> {};

TEST_P(WireDType, KeepsLogitsWithinTheBoundAndMostGreedyTokens) {
  for (Plan plan : testing::plain_plans()) {
    plan.wire_dtype = GetParam();
    Agreement agreement;
    for (const char* name : kCheckpoints) compare(name, plan, agreement);
    const double share = static_cast<double>(agreement.equal) / agreement.positions;
    fmt::print(
        "{:>5} {:<17} {}/{} greedy tokens equal ({:.1f} %), worst logit {:.3f} of the bound\n",
        dtype_name(GetParam()), plan.name, agreement.equal, agreement.positions, 100 * share,
        agreement.worst_share);
    EXPECT_GE(agreement.positions, 256);
    EXPECT_LE(agreement.worst_share, 1.0) << plan.name;
    // Chance would give under 1 %; a wrong scale, row or dtype loses nearly all of them.
    EXPECT_GE(share, 0.85) << plan.name;
  }
}

/// The same operators, every tensor in f32 in the runner: no decorator but a transparent one leaves
/// transfer memory in reach.
class Widened final : public ForwardingOperators {
 public:
  using ForwardingOperators::ForwardingOperators;

  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override {
    for (const ConstTensor& tensor : inputs) all_wide_ &= is_wide(tensor.spec);
    for (const Tensor& tensor : outputs) all_wide_ &= is_wide(tensor.spec);
    return ForwardingOperators::submit(call, inputs, outputs);
  }
  [[nodiscard]] bool all_wide() const noexcept { return all_wide_; }

 private:
  static bool is_wide(const TensorSpec& spec) {
    return spec.dtype == DType::kF32 || spec.dtype == DType::kI64;
  }
  bool all_wide_ = true;
};

TEST_P(WireDType, TensorsKeptAsTheyTravelChangeNoLogit) {
  const auto checkpoint = Checkpoint::open(testing::checkpoint_path("llama3-gqa"));
  const RunnerModel model(checkpoint);
  testing::TestWorker worker(testing::checkpoint_path("llama3-gqa"), DType::kF32);
  const std::vector<std::int64_t> ids = {3, 1, 4, 1, 5, 9, 2, 6, 5};
  for (Plan plan : testing::plain_plans()) {
    plan.wire_dtype = GetParam();
    testing::TestSession session(worker, model.config());
    testing::TestSession other(worker, model.config());
    Widened widened(other.client());
    Executor kept(model, plan, session.client());
    Executor wide(model, plan, widened);
    for (const Pass& pass : {Pass{0, 5, 1}, Pass{5, 3, 2}, Pass{8, 1, 1}}) {
      const auto part = std::span(ids).subspan(static_cast<std::size_t>(pass.position),
                                               static_cast<std::size_t>(pass.tokens));
      const auto got = kept.run(pass, part);
      const auto expected = wide.run(pass, part);
      EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin(), expected.end()))
          << plan.name << " at " << pass.position;
    }
    EXPECT_TRUE(widened.all_wide());
  }
}

INSTANTIATE_TEST_SUITE_P(Narrow, WireDType,
                         ::testing::Values(DType::kBF16, DType::kF16, DType::kI8),
                         [](const auto& at) { return std::string(dtype_name(at.param)); });

}  // namespace
}  // namespace airlock::wire_dtype_test
