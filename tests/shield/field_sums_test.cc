#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/math/field.h"
#include "airlock/shield/tile_kernels.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"
#include "tests/shield/field_values.h"

namespace airlock::field_sums_test {
namespace {

TEST(FieldSums, DotIsTheSumOfProducts) {
  for (const std::int64_t count : testing::kOddSizes) {
    const auto a = testing::random_field(count, 1);
    const auto b = testing::random_field(count, 2);
    std::uint32_t expected = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      expected = field_add(expected, field_mul(a[i], b[i]));
    }
    testing::for_each_target([&] { EXPECT_EQ(field_dot(a.data(), b.data(), count), expected); });
  }
  EXPECT_EQ(field_dot(nullptr, nullptr, 0), 0U);
}

TEST(FieldSums, TheLargestDotDoesNotOverflow) {
  constexpr std::int64_t kCount = 300'001;
  const std::vector<std::uint32_t> largest(kCount, kFieldPrime - 1);  // -1
  testing::for_each_target([&] {
    EXPECT_EQ(field_dot(largest.data(), largest.data(), kCount),
              static_cast<std::uint32_t>(kCount));
  });
}

TEST(FieldSums, AxpyAddsEveryInt8TimesTheFactor) {
  std::mt19937 engine(3);
  for (const std::int64_t count : testing::kOddSizes) {
    std::vector<std::int8_t> weight(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < weight.size(); ++i) {
      weight[i] = static_cast<std::int8_t>(i % 5 == 0 ? -128 + 255 * static_cast<int>(i % 2)
                                                      : static_cast<int>(engine() % 256) - 128);
    }
    const auto start = testing::random_field(count, 4);
    for (const std::uint32_t factor :
         {0U, 1U, kFieldPrime - 1, kFieldPrime / 2, kFieldPrime / 2 + 1, 1234567890U}) {
      testing::for_each_target([&] {
        auto sums = start;
        sums.push_back(77);  // a guard
        field_axpy(weight.data(), factor, count, sums.data());
        for (std::size_t i = 0; i < weight.size(); ++i) {
          ASSERT_EQ(sums[i], field_add(start[i], field_mul(to_field(weight[i]), factor)))
              << i << " of " << count << ", factor " << factor;
        }
        ASSERT_EQ(sums.back(), 77U);
      });
    }
  }
}

}  // namespace
}  // namespace airlock::field_sums_test
