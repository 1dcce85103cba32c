#include "airlock/math/rms_norm.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/math/random.h"
#include "tests/math/targets.h"

namespace airlock::rms_norm_test {
namespace {

void expect_norm(const std::vector<float>& x, const std::vector<float>& weight, float eps,
                 std::int64_t tokens, const std::vector<float>& out) {
  const auto hidden = static_cast<std::int64_t>(weight.size());
  for (std::int64_t t = 0; t < tokens; ++t) {
    double squares = 0;
    for (std::int64_t i = 0; i < hidden; ++i) {
      const double value = x[static_cast<std::size_t>(t * hidden + i)];
      squares += value * value;
    }
    const double factor = 1 / std::sqrt(squares / static_cast<double>(hidden) + eps);
    for (std::int64_t i = 0; i < hidden; ++i) {
      const auto at = static_cast<std::size_t>(t * hidden + i);
      const double expected =
          static_cast<double>(weight[static_cast<std::size_t>(i)]) * x[at] * factor;
      // Three roundings to f32: the factor and two products.
      ASSERT_NEAR(out[at], expected, 3.01 * testing::kF32Unit * std::fabs(expected)) << hidden;
    }
  }
}

TEST(RmsNorm, EqualsF64WithinThreeRoundings) {
  testing::for_each_target([&] {
    for (const std::int64_t tokens : {1, 3}) {
      for (const std::int64_t hidden : testing::kOddSizes) {
        const std::vector<float> x = testing::random_floats(tokens * hidden, 1);
        const std::vector<float> weight = testing::random_floats(hidden, 2);
        std::vector<float> out(x.size());
        rms_norm(x.data(), weight.data(), 1e-5F, tokens, hidden, out.data());
        expect_norm(x, weight, 1e-5F, tokens, out);
      }
    }
  });
}

TEST(RmsNorm, KeepsItsPrecisionWhenOneElementDwarfsMillions) {
  testing::for_each_target([&] {
    // Squares of 1 vanish next to 1e10 in f32, but together they make a tenth of the sum.
    std::vector<float> x(1 << 20, 1);
    x[77] = 3000;
    const std::vector<float> weight(x.size(), 1);
    std::vector<float> out(x.size());
    rms_norm(x.data(), weight.data(), 0, 1, 1 << 20, out.data());
    expect_norm(x, weight, 0, 1, out);
  });
}

TEST(RmsNorm, GivesZeroForAZeroRow) {
  const std::vector<float> x(40, 0);
  const std::vector<float> weight(40, 1);
  std::vector<float> out(40, 5);
  rms_norm(x.data(), weight.data(), 1e-6F, 1, 40, out.data());
  EXPECT_EQ(out, x);
}

TEST(RmsNorm, WorksInPlaceAndOnManyThreads) {
  const std::int64_t tokens = 301;
  const std::int64_t hidden = 2049;
  std::vector<float> x = testing::random_floats(tokens * hidden, 3);
  const std::vector<float> before = x;
  const std::vector<float> weight = testing::random_floats(hidden, 4);
  rms_norm(x.data(), weight.data(), 1e-5F, tokens, hidden, x.data());
  expect_norm(before, weight, 1e-5F, tokens, x);
}

}  // namespace
}  // namespace airlock::rms_norm_test
