#include "airlock/engine/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::map<std::int64_t, int> counts(const SamplingOptions& options, const std::vector<float>& logits,
                                   int draws) {
  Sampler sampler(options);
  std::map<std::int64_t, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[sampler.sample(logits)];
  return counts;
}

TEST(Sampler, GreedyTakesTheFirstOfTheLargest) {
  Sampler sampler({});
  struct Case {
    std::vector<float> logits;
    std::int64_t id;
  };
  for (const Case& c :
       {Case{{7}, 0}, Case{{1, 3, 2}, 1}, Case{{-5, -2, -2}, 1}, Case{{0, kInf, kInf}, 1},
        Case{{-kInf, -kInf}, 0}, Case{{-kInf, -3e38F}, 1}}) {
    EXPECT_EQ(sampler.sample(c.logits), c.id);
  }
}

TEST(Sampler, ANanIsTheWorkersErrorWhateverTheOptions) {
  for (const double temperature : {0.0, 1.0}) {
    for (const std::vector<float>& logits : {std::vector<float>{kNan, 1}, {1, kNan}, {kNan}}) {
      Sampler sampler({temperature, 1, 0.5, 0});
      try {
        sampler.sample(logits);
        ADD_FAILURE() << "NaN was accepted";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kProtocol);
      }
    }
  }
}

TEST(Sampler, RefusesOptionsOutsideTheirRange) {
  for (const SamplingOptions& options :
       {SamplingOptions{-0.1, 0, 1, 0}, SamplingOptions{HUGE_VAL, 0, 1, 0},
        SamplingOptions{std::nan(""), 0, 1, 0}, SamplingOptions{1, -1, 1, 0},
        SamplingOptions{1, 0, 0, 0}, SamplingOptions{1, 0, -0.5, 0}, SamplingOptions{1, 0, 1.01, 0},
        SamplingOptions{1, 0, std::nan(""), 0}}) {
    EXPECT_THROW(Sampler{options}, Error);
  }
}

TEST(Sampler, TheSameSeedGivesTheSameTokensAndAnotherSeedOthers) {
  std::vector<float> logits(100);
  std::iota(logits.begin(), logits.end(), 0.0F);
  const auto tokens = [&](std::uint64_t seed) {
    Sampler sampler({20.0, 0, 1.0, seed});
    std::vector<std::int64_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(sampler.sample(logits));
    return ids;
  };
  EXPECT_EQ(tokens(1), tokens(1));
  EXPECT_NE(tokens(1), tokens(2));
}

TEST(Sampler, DrawsEveryTokenAsOftenAsItsProbability) {
  const std::vector<float> logits = {1, 3, 0, 2, 2};
  for (const double temperature : {0.5, 1.0, 3.0}) {
    double total = 0;
    for (const float logit : logits) total += std::exp(logit / temperature);
    constexpr int kDraws = 100000;
    auto drawn = counts({temperature, 0, 1.0, 11}, logits, kDraws);
    for (std::size_t id = 0; id < logits.size(); ++id) {
      const double p = std::exp(logits[id] / temperature) / total;
      // Six standard deviations of the binomial: 1 in 5e8 per token, and the seed is fixed.
      EXPECT_NEAR(drawn[static_cast<std::int64_t>(id)], p * kDraws,
                  6 * std::sqrt(kDraws * p * (1 - p)));
    }
  }
}

TEST(Sampler, TopKKeepsTheKLikeliestAndOfEqualsTheFirst) {
  const std::vector<float> logits = {1, 2, 2, 2, 0};
  const auto drawn = counts({1.0, 2, 1.0, 3}, logits, 500);
  ASSERT_EQ(drawn.size(), 2U);
  EXPECT_TRUE(drawn.contains(1));
  EXPECT_TRUE(drawn.contains(2));
  EXPECT_EQ(counts({1.0, 99, 1.0, 3}, logits, 5000).size(), logits.size());
  EXPECT_EQ(counts({50.0, 1, 1.0, 3}, logits, 100).size(), 1U);
}

TEST(Sampler, TopPKeepsTheFewestThatReachP) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const std::vector<float> logits = {std::log(4.0F), std::log(2.0F), 0, 0};
  struct Case {
    double p;
    std::size_t kept;
  };
  for (const Case& c : {Case{1e-9, 1}, Case{0.49, 1}, Case{0.51, 2}, Case{0.74, 2}, Case{0.76, 3},
                        Case{0.88, 4}, Case{1.0, 4}}) {
    EXPECT_EQ(counts({1.0, 0, c.p, 5}, logits, 3000).size(), c.kept) << c.p;
  }
}

TEST(Sampler, TopPActsOnWhatTopKLeft) {
  // Of the two likeliest (2/3 and 1/3), 0.6 is reached by the first.
  const std::vector<float> logits = {std::log(4.0F), std::log(2.0F), 0, 0};
  EXPECT_EQ(counts({1.0, 2, 0.6, 5}, logits, 1000).size(), 1U);
  EXPECT_EQ(counts({1.0, 2, 0.7, 5}, logits, 1000).size(), 2U);
}

TEST(Sampler, ExtremesDoNotLeaveTheVocabulary) {
  for (const double temperature : {1e-300, 1e-3, 1.0, 1e300}) {
    for (const double top_p : {1e-12, 0.5, 1.0}) {
      EXPECT_EQ(counts({temperature, 0, top_p, 1}, {kInf, 0, -kInf}, 100).begin()->first, 0);
      for (const auto& logits : {std::vector<float>{-kInf, -kInf}, {3e38F, -3e38F}, {kInf, kInf}}) {
        for (const auto& [id, count] : counts({temperature, 0, top_p, 1}, logits, 100)) {
          EXPECT_TRUE(id == 0 || id == 1);
        }
      }
    }
  }
  EXPECT_EQ(counts({1.0, 0, 1.0, 1}, {-kInf, 0, -kInf}, 1000).size(), 1U);
}

}  // namespace
}  // namespace airlock
