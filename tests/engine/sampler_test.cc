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

#include "tests/engine/sampling_goldens.h"

namespace airlock::sampler_test {
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
        SamplingOptions{1, 0, std::nan(""), 0}, SamplingOptions{1, 0, 1, 0, -0.1},
        SamplingOptions{1, 0, 1, 0, 1.1}, SamplingOptions{1, 0, 1, 0, std::nan("")},
        SamplingOptions{1, 0, 1, 0, 0, 0}, SamplingOptions{1, 0, 1, 0, 0, -1},
        SamplingOptions{1, 0, 1, 0, 0, HUGE_VAL}, SamplingOptions{1, 0, 1, 0, 0, std::nan("")},
        SamplingOptions{1, 0, 1, 0, 0, 1e-300}, SamplingOptions{1, 0, 1, 0, 0, 1e300}}) {
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

TEST(Sampler, TopKKeepsTheKLikeliestAndAllThatAreAsLikelyAsTheKth) {
  const std::vector<float> logits = {1, 2, 2, 2, 0};
  for (const std::int64_t k : {1, 2, 3}) {
    const auto drawn = counts({1.0, k, 1.0, 3}, logits, 500);
    EXPECT_EQ(drawn.size(), 3U) << k;
    EXPECT_FALSE(drawn.contains(0) || drawn.contains(4)) << k;
  }
  EXPECT_EQ(counts({1.0, 4, 1.0, 3}, logits, 5000).size(), 4U);
  EXPECT_EQ(counts({1.0, 1, 1.0, 3}, std::vector<float>(1000, 0.5F), 20000).size(), 1000U);
  // What top-p cuts of equals are those of the largest ids, wherever a partition left them.
  const auto first = counts({1.0, 1, 0.1, 3}, std::vector<float>(1000, 0.5F), 5000);
  EXPECT_EQ(first.size(), 100U);
  EXPECT_EQ(first.rbegin()->first, 99);
  EXPECT_EQ(counts({1.0, 99, 1.0, 3}, logits, 5000).size(), logits.size());
  EXPECT_EQ(counts({50.0, 1, 1.0, 3}, {1, 2, 3}, 100).size(), 1U);
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

TEST(Sampler, MinPKeepsWhatIsThatManyTimesAsLikelyAsTheLikeliest) {
  // Half, a quarter and an eighth as likely as the first.
  const std::vector<float> logits = {std::log(8.0F), std::log(4.0F), std::log(2.0F), 0};
  struct Case {
    double p;
    std::size_t kept;
  };
  for (const Case& c : {Case{0, 4}, Case{0.12, 4}, Case{0.13, 3}, Case{0.24, 3}, Case{0.26, 2},
                        Case{0.51, 1}, Case{1, 1}}) {
    EXPECT_EQ(counts({1.0, 0, 1.0, 5, c.p}, logits, 3000).size(), c.kept) << c.p;
  }
  EXPECT_EQ(counts({1.0, 0, 1.0, 5, 1.0}, {2, 1, 2, 2}, 3000).size(), 3U);  // equals stay
}

TEST(Sampler, ARepetitionPenaltyMovesOnlyTokensThatWereSeenAndAwayFromBeingChosen) {
  SamplingOptions options;
  options.repetition_penalty = 2;
  struct Case {
    std::vector<float> logits;
    std::int64_t id;
  };
  for (const Case& c : {Case{{3, 1, 1}, 0}, Case{{3, 2, 1}, 1}, Case{{-1, -1.5, -9}, 1},
                        Case{{-1, -2.5, -9}, 0}, Case{{0, -1, -1}, 0}, Case{{-kInf, -kInf}, 0}}) {
    Sampler sampler(options);
    const std::vector<std::int64_t> seen = {0, 0, 99};  // 99: no logit of these
    sampler.see(seen);
    EXPECT_EQ(sampler.sample(c.logits), c.id) << c.logits[0];
  }
}

TEST(Sampler, ARepetitionPenaltyCountsWhatItChose) {
  SamplingOptions options;
  options.repetition_penalty = 1.5;
  Sampler sampler(options);
  const std::vector<float> logits = {4, 3, 2.8F};
  std::vector<std::int64_t> chosen;
  for (int i = 0; i < 5; ++i) chosen.push_back(sampler.sample(logits));
  EXPECT_EQ(chosen, (std::vector<std::int64_t>{0, 1, 2, 0, 0}));
}

TEST(Sampler, RefusesANegativeId) {
  SamplingOptions options;
  options.repetition_penalty = 1.5;
  Sampler sampler(options);
  const std::vector<std::int64_t> ids = {1, -1};
  EXPECT_THROW(sampler.see(ids), Error);
}

// A vocabulary larger than what is sorted at first, so flat that draws reach all of it.
TEST(Sampler, DrawsFromTheWholeOfALargeVocabulary) {
  constexpr int kVocab = 3000;
  std::vector<float> logits(kVocab);
  for (int i = 0; i < kVocab; ++i) logits[static_cast<std::size_t>(i)] = -1e-3F * (i * 7 % kVocab);
  constexpr int kDraws = 3000;
  int rare = 0;
  double share = 0;
  double total = 0;
  for (const float logit : logits) {
    total += std::exp(logit);
    if (logit < -2) share += std::exp(logit);
  }
  share /= total;
  for (const auto& [id, count] : counts({1.0, 0, 1.0, 17}, logits, kDraws)) {
    if (logits[static_cast<std::size_t>(id)] < -2) rare += count;
  }
  EXPECT_NEAR(rare, share * kDraws, 6 * std::sqrt(kDraws * share * (1 - share)));
  // The likeliest 1000 of 3000 ids hold a known share: top-p must not keep more.
  const double first = (1 - std::exp(-1.0)) / (1 - std::exp(-3.0));
  for (const auto& [id, count] : counts({1.0, 0, first, 17}, logits, kDraws)) {
    EXPECT_GE(logits[static_cast<std::size_t>(id)], -1.002F);
  }
}

TEST(Sampler, DrawsAsTransformersWould) {
  const nlohmann::json cases = testing::sampling_goldens()["warped"];
  for (const auto& c : cases) {
    SCOPED_TRACE(c["options"].dump());
    SamplingOptions options;
    options.temperature = c["options"].value("temperature", 1.0);
    options.top_k = c["options"].value("top_k", 0);
    options.top_p = c["options"].value("top_p", 1.0);
    options.min_p = c["options"].value("min_p", 0.0);
    options.repetition_penalty = c["options"].value("repetition_penalty", 1.0);
    options.seed = 29;
    const auto logits = c["logits"].get<std::vector<float>>();
    const auto seen = c["seen"].get<std::vector<std::int64_t>>();
    constexpr int kDraws = 8000;
    std::vector<int> drawn(logits.size());
    // What a draw chooses is seen by the next: each draw is the first of a sampler's.
    std::mt19937_64 seeds(29);
    for (int i = 0; i < kDraws; ++i) {
      options.seed = seeds();
      Sampler sampler(options);
      sampler.see(seen);
      ++drawn[static_cast<std::size_t>(sampler.sample(logits))];
    }
    for (std::size_t id = 0; id < logits.size(); ++id) {
      const double p = c["shares"][id].get<double>();
      // The least share kept is 0.005: not to see it has a chance of e^-40.
      EXPECT_EQ(drawn[id] > 0, p > 0) << id;
      EXPECT_NEAR(drawn[id], p * kDraws, 6 * std::sqrt(kDraws * p * (1 - p)) + 1e-6) << id;
    }
  }
}

}  // namespace
}  // namespace airlock::sampler_test
