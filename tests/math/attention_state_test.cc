#include "airlock/math/attention_state.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/math/random.h"

namespace airlock::attention_state_test {
namespace {

/// A state and its unnormalised output for one row of one-dimensional values.
struct Part {
  AttentionState state;
  double output = 0;

  void merge(const Part& other) {
    const auto [a, b] = state.merge(other.state);
    output = a * output + b * other.output;
  }
  [[nodiscard]] double result() const { return output / state.sum; }
};

Part attend(const std::vector<float>& scores, const std::vector<float>& values, std::size_t begin,
            std::size_t end) {
  Part part;
  for (std::size_t j = begin; j < end; ++j) part.state.max = std::max(part.state.max, scores[j]);
  for (std::size_t j = begin; j < end; ++j) {
    const float weight = std::exp2(scores[j] - part.state.max);
    part.state.sum += weight;
    part.output += double{weight} * values[j];
  }
  return part;
}

struct Problem {
  std::vector<float> scores = testing::random_floats(100, 1, 20);
  std::vector<float> values = testing::random_floats(100, 2);
  /// Roundings: 100 additions of the sum and a few per merge, on values of at most 4.
  double bound = 4 * (100 + 3 * 8) * testing::kF32Unit;
};

TEST(AttentionState, PartsMergeIntoTheWholeInAnyOrder) {
  const Problem p;
  const double whole = attend(p.scores, p.values, 0, 100).result();
  const std::vector<std::size_t> cuts = {0, 1, 7, 50, 51, 99, 100};
  std::vector<std::size_t> order = {0, 1, 2, 3, 4, 5};
  do {
    Part merged;
    for (const std::size_t i : order)
      merged.merge(attend(p.scores, p.values, cuts[i], cuts[i + 1]));
    ASSERT_NEAR(merged.result(), whole, p.bound);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(AttentionState, MergingIsAssociative) {
  const Problem p;
  Part left = attend(p.scores, p.values, 0, 30);
  left.merge(attend(p.scores, p.values, 30, 60));
  left.merge(attend(p.scores, p.values, 60, 100));
  Part tail = attend(p.scores, p.values, 30, 60);
  tail.merge(attend(p.scores, p.values, 60, 100));
  Part right = attend(p.scores, p.values, 0, 30);
  right.merge(tail);
  EXPECT_EQ(left.state.max, right.state.max);
  EXPECT_NEAR(left.result(), right.result(), p.bound);
}

TEST(AttentionState, AnEmptyPartIsNeutralOnEitherSide) {
  const Problem p;
  const Part part = attend(p.scores, p.values, 0, 100);
  Part left = part;
  left.merge({});
  Part right;
  right.merge(part);
  for (const Part& merged : {left, right}) {
    EXPECT_EQ(merged.state.max, part.state.max);
    EXPECT_EQ(merged.state.sum, part.state.sum);
    EXPECT_EQ(merged.output, part.output);
  }
  Part none;
  none.merge({});
  EXPECT_EQ(none.state.sum, 0);
}

}  // namespace
}  // namespace airlock::attention_state_test
