#include "airlock/math/heads.h"

#include <gtest/gtest.h>

#include "tests/math/random.h"

namespace airlock {
namespace {

struct Case {
  std::int64_t tokens, heads, head_dim;
};
constexpr Case kCases[] = {{1, 1, 1}, {3, 2, 5}, {7, 4, 16}, {40, 3, 33}, {600, 8, 64}};

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

TEST(Heads, SplitPutsEachRowAtItsPlaceInTheCache) {
  for (const auto& [tokens, heads, head_dim] : kCases) {
    const std::int64_t capacity = tokens + 5;
    const std::vector<float> x = test::random_floats(tokens * heads * head_dim, 1);
    std::vector<float> cache(at(heads * capacity * head_dim), 42);
    std::vector<BF16> cache16(cache.size(), BF16::from_float(42));
    split_heads(x.data(), tokens, heads, head_dim, cache.data(), capacity * head_dim, 2);
    split_heads(x.data(), tokens, heads, head_dim, cache16.data(), capacity * head_dim, 2);
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t row = 0; row < capacity; ++row) {
        for (std::int64_t i = 0; i < head_dim; ++i) {
          const bool written = row >= 2 && row < 2 + tokens;
          const float expected = written ? x[at(((row - 2) * heads + h) * head_dim + i)] : 42;
          const auto place = at((h * capacity + row) * head_dim + i);
          ASSERT_EQ(cache[place], expected);
          ASSERT_EQ(cache16[place].bits, BF16::from_float(expected).bits);
        }
      }
    }
  }
}

TEST(Heads, MergeUndoesSplit) {
  for (const auto& [tokens, heads, head_dim] : kCases) {
    const std::vector<float> x = test::random_floats(tokens * heads * head_dim, 1);
    std::vector<float> split(x.size());
    std::vector<float> merged(x.size());
    split_heads(x.data(), tokens, heads, head_dim, split.data(), tokens * head_dim, 0);
    merge_heads(split.data(), heads, tokens, head_dim, merged.data());
    EXPECT_EQ(merged, x);
  }
}

TEST(Heads, RepeatGivesEveryQueryHeadItsKvHead) {
  for (const auto& [tokens, heads, head_dim] : kCases) {
    for (const std::int64_t group : {1, 3}) {
      const std::int64_t stride = (tokens + 2) * head_dim;
      const std::vector<float> x = test::random_floats(heads * stride, 1);
      std::vector<float> out(at(heads * group * tokens * head_dim));
      repeat_heads(x.data(), heads, stride, group, tokens, head_dim, out.data());
      for (std::int64_t h = 0; h < heads * group; ++h) {
        for (std::int64_t i = 0; i < tokens * head_dim; ++i) {
          ASSERT_EQ(out[at(h * tokens * head_dim + i)], x[at(h / group * stride + i)]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace airlock
