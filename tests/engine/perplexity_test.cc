// Windows, scores of one token, and perplexity against transformers' on the shipped model.
#include "airlock/engine/perplexity.h"

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer.h"
#include "airlock/worker/local_operators.h"

#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/split.h"

namespace airlock::perplexity_test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Windows, OverlapByTheStrideAndScoreWhatIsNew) {
  // 8 tokens, BOS and 4 of them a window.
  EXPECT_EQ(make_windows(8, true, 5, 3), (std::vector<Window>{{0, 4, 4}, {3, 7, 3}, {6, 8, 1}}));
  // Without a BOS the first token has nothing before it.
  EXPECT_EQ(make_windows(8, false, 5, 3), (std::vector<Window>{{0, 5, 4}, {3, 8, 3}}));
  EXPECT_EQ(make_windows(1, true, 2, 1), (std::vector<Window>{{0, 1, 1}}));
  EXPECT_EQ(make_windows(2, false, 9, 1), (std::vector<Window>{{0, 2, 1}}));
}

TEST(Windows, ScoreEveryTokenExactlyOnceWithAtLeastOneTokenBeforeIt) {
  for (const bool has_bos : {false, true}) {
    for (std::int64_t window = 2; window <= 9; ++window) {
      for (std::int64_t stride = 1; stride < window; ++stride) {
        for (std::int64_t tokens = has_bos ? 1 : 2; tokens <= 40; ++tokens) {
          const auto windows = make_windows(tokens, has_bos, window, stride);
          const std::string where = fmt::format("{} tokens, window {}, stride {}, BOS {}", tokens,
                                                window, stride, has_bos);
          std::vector<int> scored(static_cast<std::size_t>(tokens), 0);
          for (std::size_t k = 0; k < windows.size(); ++k) {
            const Window& w = windows[k];
            ASSERT_EQ(w.begin, static_cast<std::int64_t>(k) * stride) << where;
            ASSERT_LE(w.end, tokens) << where;
            ASSERT_LE(w.end - w.begin + (has_bos ? 1 : 0), window) << where;
            ASSERT_GE(w.scored, 1) << where;
            ASSERT_GE(w.end - w.begin + (has_bos ? 1 : 0), w.scored + 1) << where;
            for (std::int64_t t = w.end - w.scored; t < w.end; ++t) {
              ++scored[static_cast<std::size_t>(t)];
            }
          }
          std::vector<int> expected(scored.size(), 1);
          if (!has_bos) expected[0] = 0;
          ASSERT_EQ(scored, expected) << where;
        }
      }
    }
  }
}

TEST(Windows, ThatCannotScoreAreRefused) {
  struct Case {
    std::int64_t tokens, window, stride;
    bool has_bos;
  };
  for (const Case& c :
       {Case{0, 8, 4, true}, Case{0, 8, 4, false}, Case{1, 8, 4, false}, Case{9, 1, 1, true},
        Case{9, 8, 0, true}, Case{9, 8, 8, true}, Case{9, 8, -1, true}, Case{9, -8, 4, true}}) {
    try {
      (void)make_windows(c.tokens, c.has_bos, c.window, c.stride);
      ADD_FAILURE() << c.tokens << " " << c.window << " " << c.stride;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    }
  }
}

TEST(Windows, AreByDefaultNoLongerThanWhatTheModelWasTrainedOn) {
  ModelConfig config;
  config.max_position = 4096;
  EXPECT_EQ(default_window(config), 512);
  config.rope_scaling = Llama3RopeScaling{};
  config.rope_scaling->original_max_position = 256;
  EXPECT_EQ(default_window(config), 256);
  config.max_position = 100;
  EXPECT_EQ(default_window(config), 100);
}

TEST(LogSumExp, EqualsHandValuesAndDoesNotOverflow) {
  const std::array<float, 3> row = {std::log(1.0F), std::log(2.0F), std::log(5.0F)};
  EXPECT_NEAR(log_sum_exp(row), std::log(8.0), 1e-7);
  EXPECT_DOUBLE_EQ(log_sum_exp(std::array<float, 2>{3e38F, 3e38F}),
                   static_cast<double>(3e38F) + std::log(2.0));
  EXPECT_DOUBLE_EQ(log_sum_exp(std::array<float, 2>{-3e38F, -3e38F}),
                   static_cast<double>(-3e38F) + std::log(2.0));
  EXPECT_DOUBLE_EQ(log_sum_exp(std::array<float, 2>{-kInfinity, 7.0F}), 7.0);
  EXPECT_EQ(log_sum_exp(std::array<float, 2>{kInfinity, 7.0F}), kInfinity);
  EXPECT_TRUE(std::isnan(log_sum_exp(std::array<float, 2>{-kInfinity, -kInfinity})));
  EXPECT_TRUE(std::isnan(log_sum_exp(std::array<float, 2>{kNan, 1.0F})));
  EXPECT_TRUE(std::isnan(log_sum_exp(std::array<float, 2>{1.0F, kNan})));
}

TEST(ScoreToken, EqualsHandValues) {
  // Probabilities 1/2, 1/4, 1/4 against 1/4, 1/4, 1/2; logits are known but for a constant.
  const std::array<float, 3> reference = {std::log(2.0F) + 10, 10, 10};
  const std::array<float, 3> measured = {-3, -3, std::log(2.0F) - 3};
  const TokenScore score = score_token(reference, measured, 0);
  EXPECT_NEAR(score.nll, std::log(4.0), 1e-6);
  // 1/2 ln 2 + 1/4 ln 1 + 1/4 ln(1/2)
  EXPECT_NEAR(score.kl, 0.25 * std::log(2.0), 1e-6);
  EXPECT_FALSE(score.same_top);
  const TokenScore same = score_token(reference, reference, 2);
  EXPECT_NEAR(same.nll, std::log(4.0), 1e-6);
  EXPECT_EQ(same.kl, 0);
  EXPECT_TRUE(same.same_top);
}

TEST(ScoreToken, OfEqualLogitsTakesTheFirstAsTheTop) {
  const std::array<float, 3> reference = {1, 2, 2};
  EXPECT_TRUE(score_token(reference, std::array<float, 3>{0, 5, 1}, 0).same_top);
  EXPECT_FALSE(score_token(reference, std::array<float, 3>{0, 1, 5}, 0).same_top);
}

TEST(Quality, AddsUpScoresAndCountsWhatIsNotFinite) {
  Quality quality;
  quality.add({std::log(2.0), 0.5, true});
  quality.add({std::log(8.0), 0.1, false});
  EXPECT_NEAR(quality.perplexity(), 4.0, 1e-12);
  EXPECT_DOUBLE_EQ(quality.agreement(), 0.5);
  EXPECT_DOUBLE_EQ(quality.mean_kl(), 0.3);
  EXPECT_EQ(quality.not_finite, 0);
  // The reference gives id 0 a share; a worker that rules it out is infinitely surprised.
  quality.add(score_token(std::array<float, 2>{0, 0}, std::array<float, 2>{-kInfinity, 0}, 0));
  EXPECT_EQ(quality.not_finite, 1);
  quality.add(score_token(std::array<float, 2>{0, 0}, std::array<float, 2>{kNan, 0}, 1));
  EXPECT_EQ(quality.not_finite, 2);
  EXPECT_FALSE(std::isfinite(quality.perplexity()));
}

// What transformers says of models/demo on the first windows of the held-out text.
class DemoModel : public ::testing::Test {
 protected:
  static constexpr std::size_t kWindows = 12;

  [[nodiscard]] static std::filesystem::path dir() {
    return testing::source_dir() / "models" / "demo";
  }
  [[nodiscard]] static std::filesystem::path data() { return testing::data_dir() / "heldout"; }

  void SetUp() override {
    const auto tokenizer = Tokenizer::load(dir());
    bos_ = tokenizer->bos().value();
    for (const std::int32_t id :
         tokenizer->encode(testing::file_text(data() / "persuasion.txt"), false)) {
      ids_.push_back(id);
    }
    ASSERT_EQ(ids_.size(), golden_["tokens"].get<std::size_t>());
    options_.window = golden_["window"];
    options_.stride = golden_["stride"];
    all_windows_ =
        check_windows(model_.config(), static_cast<std::int64_t>(ids_.size()), true, options_);
    ASSERT_EQ(all_windows_.size(), golden_["window_nll"].size());
    // A text that ends where a window ends has that window and those before it.
    ids_.resize(static_cast<std::size_t>(all_windows_[kWindows - 1].end));
  }

  PerplexityResult measure(std::span<const Plan> plans) {
    testing::TestWorker worker(dir(), DType::kF32);
    testing::TestSession session(worker, model_.config(), counter_);
    LocalOperators reference(worker.backend());
    return measure_perplexity(
        model_, reference, [&](const Plan&) { return Endpoint(session.client()); }, counter_, plans,
        ids_, bos_, options_);
  }

  /// The windows' sums differ by f32 rounding; 1e-4 is what the project promises of perplexity.
  void expect_transformers(const Quality& quality, const std::string& what) {
    ASSERT_EQ(quality.window_nll.size(), kWindows) << what;
    double theirs = 0;
    std::int64_t tokens = 0;
    for (std::size_t k = 0; k < kWindows; ++k) {
      const double window = golden_["window_nll"][k];
      const auto scored = static_cast<double>(all_windows_[k].scored);
      EXPECT_NEAR(quality.window_nll[k] / scored, window / scored, 1e-4)
          << what << ", window " << k;
      theirs += window;
      tokens += all_windows_[k].scored;
    }
    EXPECT_EQ(quality.tokens, tokens) << what;
    const double expected = std::exp(theirs / static_cast<double>(tokens));
    EXPECT_NEAR(quality.perplexity() / expected, 1, 1e-4) << what;
    RecordProperty(what, fmt::format("{:.3g}", quality.perplexity() / expected - 1));
  }

  RunnerModel model_{Checkpoint::open(dir())};
  nlohmann::json golden_ = nlohmann::json::parse(testing::file_text(data() / "transformers.json"));
  std::vector<Window> all_windows_;
  std::vector<std::int64_t> ids_;
  std::int64_t bos_ = 0;
  PerplexityOptions options_;
  TrafficCounter counter_;
};

TEST_F(DemoModel, HasThePerplexityOfTransformersInProcessAndThroughF32Plans) {
  std::vector<Plan> plans = {find_plan("baseline"), find_plan("blocks")};
  plans[1].wire_dtype = DType::kF32;
  plans[1].chunk = 100;
  const PerplexityResult result = measure(plans);
  expect_transformers(result.reference, "in one process");
  EXPECT_EQ(result.reference.kl, 0);
  EXPECT_EQ(result.reference.same_top, result.reference.tokens);
  for (const PlanQuality& row : result.plans) {
    expect_transformers(row.quality, row.plan.name);
    EXPECT_LT(row.quality.mean_kl(), 1e-7) << row.plan.name;
  }
}

TEST_F(DemoModel, LosesNoMoreThanPromisedOnNarrowWires) {
  struct Case {
    DType wire;
    double change;  ///< of the perplexity, either way
    double agreement;
  };
  ids_.resize(600);
  std::vector<Plan> plans;
  const std::array cases = {Case{DType::kBF16, 0.005, 0.95}, Case{DType::kF16, 0.005, 0.99},
                            Case{DType::kI8, 0.02, 0.9}};
  for (const Case& c : cases) {
    plans.push_back(find_plan("baseline"));
    plans.back().wire_dtype = c.wire;
  }
  const PerplexityResult result = measure(plans);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Quality& quality = result.plans[i].quality;
    const std::string_view wire = dtype_name(cases[i].wire);
    EXPECT_NEAR(quality.perplexity() / result.reference.perplexity(), 1, cases[i].change) << wire;
    EXPECT_GE(quality.agreement(), cases[i].agreement) << wire;
    EXPECT_GT(quality.mean_kl(), 0) << wire << ": nothing was rounded";
    EXPECT_EQ(quality.not_finite, 0) << wire;
  }
}

TEST_F(DemoModel, CountsTheBytesOfEveryPlanApart) {
  ids_.resize(static_cast<std::size_t>(options_.window - 1));  // one window, which is one pass
  std::vector<Plan> plans = {find_plan("baseline"), find_plan("blocks")};
  std::int64_t calls = 0;
  options_.progress = [&](std::int64_t done, std::int64_t total) {
    ++calls;
    EXPECT_EQ(done, calls * (options_.window - 1));
    EXPECT_EQ(total, 3 * (options_.window - 1));
  };
  const PerplexityResult result = measure(plans);
  EXPECT_EQ(calls, 3);
  for (const PlanQuality& row : result.plans) {
    // As a prefill of as many tokens, but with logits of all of them and not of one.
    const std::int64_t n = options_.window - 1;
    Traffic expected = predict_traffic(model_.config(), row.plan, n, 0);
    const auto width = static_cast<std::int64_t>(dtype_size(row.plan.wire_dtype));
    expected.add(Op::kLmHead, (n - 1) * width * model_.config().hidden,
                 (n - 1) * width * model_.config().vocab, 0);
    EXPECT_EQ(row.traffic, expected) << row.plan.name;
  }
}

TEST_F(DemoModel, CannotBeScoredPastItsContext) {
  options_.window = model_.config().max_position + 1;
  const std::vector<Plan> plans = {find_plan("baseline")};
  try {
    (void)measure(plans);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace airlock::perplexity_test
