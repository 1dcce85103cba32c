// What a worker could see in the masked rows it is sent: nothing that tells them from noise.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <zstd.h>

#include "airlock/math/field.h"
#include "airlock/runner/executor.h"

#include "tests/engine/golden.h"
#include "tests/shield/watched_worker.h"
#include "tests/support/shielded.h"
#include "tests/support/split.h"

namespace airlock::leakage_test {
namespace {

using testing::RecordingOperators;
using testing::TestShield;

/// Answers RingLinear at once, with zeros: what is sent does not depend on it.
class NoWorker final : public Operators {
 public:
  explicit NoWorker(Operators& hints) : hints_(hints) {}
  [[nodiscard]] int lanes() const noexcept override { return 1; }
  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override {
    if (call.op == Op::kPadProduct) {
      hints_.execute(call, inputs, outputs);
    } else {
      for (const Tensor& out : outputs) std::fill_n(out.data, out.spec.bytes(), std::byte{0});
    }
    return {++submitted_};
  }
  void collect(CallTicket) override {}
  void abandon() noexcept override {}
  void end_sequence(std::uint32_t) override {}

 private:
  Operators& hints_;
  std::uint64_t submitted_ = 0;
};

class LeakageTest : public ::testing::TestWithParam<PadKind> {
 protected:
  LeakageTest() {
    plan_.pads = GetParam();
    plan_.verify = false;
  }

  /// Sends `calls` calls of `rows` rows each through `operators`: activations such as models have,
  /// the same few rows again and again with outliers in fixed columns. Gives the rows sent.
  void send(Operators& operators, int calls, std::int64_t rows,
            std::vector<float>* kept = nullptr) {
    const ModelConfig& config = checkpoint_->config();
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    Call call;
    call.op = Op::kBatchLinear;
    call.weights = {Weight::kDown};
    call.layer = 0;
    call.inputs = {{DType::kF32, {rows, config.ffn}}};
    std::vector<float> x(static_cast<std::size_t>(rows * config.ffn));
    std::vector<float> out(static_cast<std::size_t>(rows * config.hidden));
    const ConstTensor in{call.inputs[0], reinterpret_cast<const std::byte*>(x.data())};
    const Tensor to{{DType::kF32, {rows, config.hidden}}, reinterpret_cast<std::byte*>(out.data())};
    for (int i = 0; i < calls; ++i) {
      for (std::int64_t at = 0; at < rows * config.ffn; ++at) {
        const std::int64_t column = at % config.ffn;
        const float size = column % 61 == 0 ? 50.0F : 1.0F;
        x[static_cast<std::size_t>(at)] =
            kept != nullptr ? size * normal(random) : size * static_cast<float>(column % 7 - 3);
      }
      if (kept != nullptr) kept->insert(kept->end(), x.begin(), x.end());
      operators.execute(call, {&in, 1}, {&to, 1});
    }
  }

  std::shared_ptr<const Checkpoint> checkpoint_ =
      Checkpoint::open(testing::checkpoint_path("llama3-gqa"));
  testing::TestWorker worker_{testing::checkpoint_path("llama3-gqa"), DType::kF32};
  testing::TestSession session_{worker_, checkpoint_->config()};
  NoWorker nobody_{session_.client()};
  Plan plan_ = find_plan("private");
};

INSTANTIATE_TEST_SUITE_P(Pads, LeakageTest, ::testing::Values(PadKind::kLattice, PadKind::kLocal),
                         [](const auto& at) { return std::string(pad_kind_name(at.param)); });

/// Standard deviations that the statistic of `counts`, each expected alike, lies from its mean.
double chi_square_deviation(std::span<const std::uint64_t> counts) {
  double all = 0;
  for (const std::uint64_t count : counts) all += static_cast<double>(count);
  const double expected = all / static_cast<double>(counts.size());
  double sum = 0;
  for (const std::uint64_t count : counts) {
    const double off = static_cast<double>(count) - expected;
    sum += off * off / expected;
  }
  const double freedom = static_cast<double>(counts.size()) - 1;
  return (sum - freedom) / std::sqrt(2 * freedom);
}

// Each bound is six standard deviations or more: a sound shield fails once in some 10^9 runs.
constexpr double kDeviations = 6;

TEST_P(LeakageTest, MaskedRowsPassTestsOfRandomness) {
  RecordingOperators recorded(nobody_);
  TestShield shield(*checkpoint_, worker_.fingerprint(), plan_, recorded);
  const std::size_t words = std::size_t{25} << 20;  // 10^8 bytes
  recorded.sent.reserve(words + (std::size_t{1} << 20));
  while (recorded.sent.size() < words) send(shield.operators(), 8, 512);
  const std::vector<std::uint32_t>& sent = recorded.sent;

  // Values in 4096 equal parts of the field, and low bytes.
  std::vector<std::uint64_t> parts(4096);
  std::array<std::uint64_t, 256> low{};
  std::uint64_t beyond = 0;
  for (const std::uint32_t word : sent) {
    beyond += word >= kFieldPrime ? 1U : 0U;
    ++parts[static_cast<std::size_t>(std::uint64_t{word} * parts.size() / kFieldPrime) %
            parts.size()];
    ++low[word & 0xffU];
  }
  EXPECT_EQ(beyond, 0U);
  EXPECT_LT(std::abs(chi_square_deviation(parts)), kDeviations);
  EXPECT_LT(std::abs(chi_square_deviation(low)), kDeviations);

  // Serial correlation along rows and down columns.
  const auto columns = static_cast<std::size_t>(checkpoint_->config().ffn);
  for (const std::size_t lag : {std::size_t{1}, std::size_t{2}, columns, 2 * columns}) {
    const double middle = kFieldPrime / 2.0;
    const double variance = static_cast<double>(kFieldPrime) * kFieldPrime / 12.0;
    double sum = 0;
    for (std::size_t i = lag; i < sent.size(); ++i)
      sum += (sent[i] - middle) * (sent[i - lag] - middle);
    const auto pairs = static_cast<double>(sent.size() - lag);
    EXPECT_LT(std::abs(sum / variance) / std::sqrt(pairs), kDeviations) << "lag " << lag;
  }

  // Elements of 30.99 bits in 32: nothing beyond that to be had by compression.
  const std::size_t bytes = sent.size() * sizeof(std::uint32_t);
  std::vector<char> packed(ZSTD_compressBound(bytes));
  const std::size_t size = ZSTD_compress(packed.data(), packed.size(), sent.data(), bytes, 1);
  ASSERT_EQ(ZSTD_isError(size), 0U);
  EXPECT_GT(static_cast<double>(size), 0.968 * static_cast<double>(bytes));
}

TEST_P(LeakageTest, TwoRunsOfOnePromptShareNoMoreWordsThanChance) {
  const RunnerModel model(checkpoint_);
  RecordingOperators recorded(session_.client());
  TestShield shield(*checkpoint_, worker_.fingerprint(), plan_, recorded);
  Executor executor(model, plan_, shield.operators());
  const auto run = [&] {
    recorded.sent.clear();
    std::vector<std::int64_t> ids(96);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i % 5 + 1);
    (void)executor.run(Pass{0, 96, 1}, ids);
    for (std::int64_t i = 0; i < 4; ++i)
      (void)executor.run(Pass{96 + i, 1, 1}, std::span(ids).first(1));
    return recorded.sent;
  };
  std::vector<std::uint32_t> first = run();
  std::vector<std::uint32_t> second = run();
  ASSERT_EQ(first.size(), second.size());
  std::size_t same_place = 0;
  for (std::size_t i = 0; i < first.size(); ++i) same_place += first[i] == second[i] ? 1U : 0U;
  EXPECT_LE(same_place, 4U);  // chance: n / p, below 10^-3
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  std::vector<std::uint32_t> shared;
  std::set_intersection(first.begin(), first.end(), second.begin(), second.end(),
                        std::back_inserter(shared));
  const double chance =
      static_cast<double>(first.size()) * static_cast<double>(second.size()) / kFieldPrime;
  EXPECT_LT(static_cast<double>(shared.size()), chance + kDeviations * std::sqrt(chance) + 4);
}

/// Gives the same rows again and again: what must never be.
class ReusedPads final : public PadSource {
 public:
  ReusedPads(const RingModel& model, int group, std::int64_t rows) {
    const RingGroup& of = model.groups()[static_cast<std::size_t>(group)];
    std::mt19937_64 random(9);
    input_.resize(static_cast<std::size_t>(rows * of.in));
    output_.resize(static_cast<std::size_t>(rows * of.out));
    for (std::uint32_t& word : input_) word = static_cast<std::uint32_t>(random() % kFieldPrime);
    segment_.rows = rows;
    segment_.input = input_.data();
    segment_.input_stride = of.in;
    segment_.output[0] = output_.data();
    segment_.output_stride[0] = of.out;
  }
  [[nodiscard]] Pad take(int, std::int64_t) override {
    Pad pad;
    pad.add(segment_, nullptr, {});
    return pad;
  }
  void fill(std::int64_t, const std::function<void(std::int64_t, std::int64_t)>&) override {}
  [[nodiscard]] std::int64_t rows_ready() const override { return 0; }
  [[nodiscard]] bool needs_noise() const noexcept override { return true; }
  [[nodiscard]] const PadStats& stats() const noexcept override { return stats_; }

 private:
  std::vector<std::uint32_t> input_, output_;
  PadSegment segment_;
  PadStats stats_;
};

/// Mean share of the variance of a column's activations that its masked values explain, over the
/// calls' first rows.
double explained(const std::vector<float>& x, const std::vector<std::uint32_t>& sent,
                 std::int64_t columns, std::int64_t stride, int calls) {
  double sum = 0;
  for (std::int64_t column = 0; column < columns; ++column) {
    double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
    for (int i = 0; i < calls; ++i) {
      const auto at = static_cast<std::size_t>(i * stride + column);
      const double a = x[at];
      const double b = sent[at];
      sx += a;
      sy += b;
      sxx += a * a;
      syy += b * b;
      sxy += a * b;
    }
    const double n = calls;
    const double covariance = sxy - sx * sy / n;
    sum += covariance * covariance / ((sxx - sx * sx / n) * (syy - sy * sy / n));
  }
  return sum / static_cast<double>(columns);
}

TEST_P(LeakageTest, MaskedRowsExplainNothingOfTheActivations) {
  constexpr int kCalls = 400;
  constexpr std::int64_t kRows = 3;
  const std::int64_t columns = checkpoint_->config().ffn;
  std::vector<float> x;
  RecordingOperators recorded(nobody_);
  TestShield shield(*checkpoint_, worker_.fingerprint(), plan_, recorded);
  send(shield.operators(), kCalls, kRows, &x);
  ASSERT_EQ(recorded.sent.size(), x.size());
  const double found = explained(x, recorded.sent, columns, kRows * columns, kCalls);
  // One regressor explains 1 / (n - 1) by chance, with twice that squared as variance a column.
  const double chance = 1.0 / (kCalls - 1);
  EXPECT_LT(found, chance * (1 + kDeviations * std::sqrt(2.0 / static_cast<double>(columns))));

  // The same stack with pads used again and again: the test would notice.
  std::vector<float> again;
  RecordingOperators reused(nobody_);
  ReusedPads pads(shield.model(), ring_group_of(checkpoint_->config(), 0, Weight::kDown), kRows);
  RingOperators broken(reused, shield.model(), plan_, &pads);
  send(broken, kCalls, kRows, &again);
  EXPECT_GT(explained(again, reused.sent, columns, kRows * columns, kCalls), 0.5);
}

}  // namespace
}  // namespace airlock::leakage_test
