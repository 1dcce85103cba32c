#include "airlock/engine/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/engine/sampling_goldens.h"

namespace airlock::logprobs_test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Logprobs logprobs_of(const std::vector<float>& logits, std::int64_t token, int top) {
  Logprobs out;
  compute_logprobs(logits, token, top, out);
  return out;
}

TEST(Logprobs, EqualTorchsLogSoftmaxInDouble) {
  const nlohmann::json cases = testing::sampling_goldens()["logprobs"];
  ASSERT_EQ(cases.size(), 4U);
  for (const auto& c : cases) {
    const auto logits = c["logits"].get<std::vector<float>>();
    for (std::size_t id = 0; id < logits.size(); ++id) {
      const double expected = c["logprobs"][id].get<double>();
      const Logprobs ours = logprobs_of(logits, static_cast<std::int64_t>(id), 0);
      EXPECT_EQ(ours.chosen.token, static_cast<std::int64_t>(id));
      // Sums of 24 terms of at most 1 and one logarithm, in double.
      EXPECT_NEAR(ours.chosen.logprob, expected, 1e-13 * (1 + std::abs(expected)));
      EXPECT_TRUE(ours.top.empty());
    }
  }
}

TEST(Logprobs, NameTheLikeliestInOrderAndOfEqualsTheLowerId) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> logits(1 + random() % 60);
    for (float& logit : logits) logit = static_cast<float>(random() % 12);  // many equals
    std::vector<std::int64_t> ids(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(), [&](std::int64_t a, std::int64_t b) {
      return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    for (const int top : {0, 1, 5, kMaxTopLogprobs}) {
      const Logprobs ours = logprobs_of(logits, 0, top);
      ASSERT_EQ(ours.top.size(), std::min(logits.size(), static_cast<std::size_t>(top)));
      for (std::size_t i = 0; i < ours.top.size(); ++i) {
        EXPECT_EQ(ours.top[i].token, ids[i]);
        EXPECT_EQ(ours.top[i].logprob, logprobs_of(logits, ids[i], 0).chosen.logprob);
      }
    }
  }
}

TEST(Logprobs, OfInfiniteLogitsAreNeverNan) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(logprobs_of({0, -inf}, 1, 0).chosen.logprob, -kInf);
  EXPECT_EQ(logprobs_of({0, -inf}, 0, 0).chosen.logprob, 0);
  EXPECT_EQ(logprobs_of({inf, 0, inf}, 0, 0).chosen.logprob, -std::log(2.0));
  EXPECT_EQ(logprobs_of({inf, 0, inf}, 1, 0).chosen.logprob, -kInf);
  EXPECT_EQ(logprobs_of({-inf, -inf}, 1, 2).top[0].logprob, -std::log(2.0));
}

TEST(Logprobs, RefuseNanAndWhatDoesNotExist) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(logprobs_of({0, nan}, 0, 0), Error);
  EXPECT_THROW(logprobs_of({nan, 0}, 1, 0), Error);
  EXPECT_THROW(logprobs_of({0, 1}, 2, 0), Error);
  EXPECT_THROW(logprobs_of({0, 1}, -1, 0), Error);
  EXPECT_THROW(logprobs_of({}, 0, 0), Error);
  EXPECT_THROW(logprobs_of({0, 1}, 0, kMaxTopLogprobs + 1), Error);
  EXPECT_THROW(logprobs_of({0, 1}, 0, -1), Error);
}

}  // namespace
}  // namespace airlock::logprobs_test
