#include "airlock/math/heads.h"

#include <gtest/gtest.h>

#include "airlock/math/repeat_rows.h"

#include "tests/math/random.h"

namespace airlock::heads_test {
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
    const std::vector<float> x = testing::random_floats(tokens * heads * head_dim, 1);
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
    const std::vector<float> x = testing::random_floats(tokens * heads * head_dim, 1);
    std::vector<float> split(x.size());
    std::vector<float> merged(x.size());
    split_heads(x.data(), tokens, heads, head_dim, split.data(), tokens * head_dim, 0);
    merge_heads(split.data(), heads, tokens, head_dim, merged.data());
    EXPECT_EQ(merged, x);
  }
}

/// Every element of [kv heads, tokens + 2, head_dim] has a value of its own.
template <typename T>
void expect_repeated(const std::vector<T>& x, std::int64_t tokens, std::int64_t heads,
                     std::int64_t head_dim, std::int64_t group) {
  const auto value = [](T element) {
    if constexpr (std::is_same_v<T, BF16>)
      return element.to_float();
    else
      return element;
  };
  const std::int64_t stride = (tokens + 2) * head_dim;
  std::vector<T> blocks(at(heads * group * tokens * head_dim));
  std::vector<T> rows(blocks.size());
  const DType dtype = std::is_same_v<T, BF16> ? DType::kBF16 : DType::kF32;
  repeat_heads(dtype, x.data(), heads, stride, group, tokens, head_dim, blocks.data());
  repeat_rows(dtype, x.data(), heads, stride, group, tokens, head_dim, rows.data());
  for (std::int64_t h = 0; h < heads * group; ++h) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t d = 0; d < head_dim; ++d) {
        const float expected = value(x[at(h / group * stride + t * head_dim + d)]);
        ASSERT_EQ(value(blocks[at((h * tokens + t) * head_dim + d)]), expected);
        ASSERT_EQ(value(rows[at((t * heads * group + h) * head_dim + d)]), expected);
      }
    }
  }
}

TEST(Heads, RepeatGivesEveryQueryHeadItsKvHead) {
  for (const auto& [tokens, heads, head_dim] : kCases) {
    for (const std::int64_t group : {1, 3}) {
      const std::vector<float> x = testing::random_floats(heads * (tokens + 2) * head_dim, 1);
      expect_repeated(x, tokens, heads, head_dim, group);
      expect_repeated(testing::to_bf16(x), tokens, heads, head_dim, group);
    }
  }
}

}  // namespace
}  // namespace airlock::heads_test
