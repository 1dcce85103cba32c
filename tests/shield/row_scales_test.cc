#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/math/field.h"
#include "airlock/shield/tile_kernels.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"

namespace airlock::row_scales_test {
namespace {

constexpr double kHalf = kFieldPrime / 2.0;

struct Adversary {
  std::string name;
  std::function<void(std::vector<float>&)> fill;
};

const std::vector<Adversary>& adversaries() {
  static const auto all_equal = [](float value) {
    return [value](std::vector<float>& x) { std::fill(x.begin(), x.end(), value); };
  };
  static const auto outlier = [](float value, float rest) {
    return [=](std::vector<float>& x) {
      std::fill(x.begin(), x.end(), rest);
      x[x.size() / 3] = value;
    };
  };
  static const std::vector<Adversary> kAll = {
      {"zeros", all_equal(0)},
      {"negative zeros", all_equal(-0.0F)},
      {"all equal", all_equal(1.5F)},
      {"all the largest", all_equal(std::numeric_limits<float>::max())},
      {"all the smallest", all_equal(std::numeric_limits<float>::denorm_min())},
      {"denormal", all_equal(-3e-40F)},
      {"one a million times the rest", outlier(1e6F, 1)},
      {"one among zeros", outlier(-3, 0)},
      {"the largest among the smallest",
       outlier(std::numeric_limits<float>::max(), std::numeric_limits<float>::denorm_min())},
      {"gaussian",
       [](std::vector<float>& x) {
         x = testing::random_floats(static_cast<std::int64_t>(x.size()), 5);
       }},
      {"heavy-tailed",
       [](std::vector<float>& x) {
         std::mt19937 engine(6);
         std::cauchy_distribution<float> cauchy;
         for (float& value : x) value = cauchy(engine);
       }},
      // Values that the scale puts near halves: the rounding's largest part.
      {"halves",
       [](std::vector<float>& x) {
         for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) + 0.5F;
       }},
  };
  return kAll;
}

std::vector<std::int64_t> integers(const std::vector<float>& x, float scale) {
  std::vector<std::int64_t> result;
  for (const float value : x) {
    result.push_back(static_cast<std::int64_t>(std::nearbyint(value * scale)));
  }
  return result;
}

double norm_of(const std::vector<std::int64_t>& values) {
  long double squares = 0;
  for (const std::int64_t value : values) {
    squares += static_cast<long double>(value) * static_cast<long double>(value);
  }
  return static_cast<double>(std::sqrt(squares));
}

RowScale scale_of(const std::vector<float>& x, double max_norm, double noise_norm, double margin,
                  bool int16 = false) {
  RowScale scale;
  EXPECT_EQ(row_scales(x.data(), 1, static_cast<std::int64_t>(x.size()), max_norm, noise_norm,
                       margin, int16, {&scale, 1}),
            -1);
  return scale;
}

/// The integers of at most 127 in magnitude that correlate best with `values`.
std::vector<std::int64_t> worst_weights(const std::vector<std::int64_t>& values) {
  std::int64_t largest = 1;
  for (const std::int64_t value : values) largest = std::max(largest, std::abs(value));
  std::vector<std::int64_t> weights;
  for (const std::int64_t value : values) {
    weights.push_back(
        std::lround(127.0 * static_cast<double>(value) / static_cast<double>(largest)));
  }
  return weights;
}

TEST(RowScales, NoProductWrapsWhateverTheRow) {
  for (const Adversary& adversary : adversaries()) {
    for (const std::int64_t columns : {1, 2, 17, 64, 1000, 2048, 8192, 28672}) {
      SCOPED_TRACE(adversary.name + ", " + std::to_string(columns) + " columns");
      std::vector<float> x(static_cast<std::size_t>(columns));
      adversary.fill(x);
      const double root = std::sqrt(static_cast<double>(columns));
      const double noise_norm = 8 * root;  // every element -8
      for (const double max_norm : {127.0, 36 * root, 127 * root}) {
        for (const double margin : {0.0, 0x1p14}) {
          const RowScale scale = scale_of(x, max_norm, noise_norm, margin);
          ASSERT_TRUE(std::isfinite(scale.scale) && std::isfinite(scale.inverse));
          const auto x_q = integers(x, scale.scale);
          ASSERT_LT((norm_of(x_q) + noise_norm) * max_norm + margin, kHalf);
        }
      }
      // Weights and noise aligned with the row, and of the norm that the scale was made for.
      auto x_q = integers(x, scale_of(x, 1, 0, 0).scale);
      const auto weights = worst_weights(x_q);
      const double max_norm = norm_of(weights);
      x_q = integers(x, scale_of(x, max_norm, noise_norm, 0).scale);
      std::int64_t product = 0;
      for (std::size_t i = 0; i < x_q.size(); ++i) {
        product += (x_q[i] + (x_q[i] > 0 ? 8 : -8)) * weights[i];
      }
      ASSERT_LT(static_cast<double>(std::abs(product)), kHalf);
    }
  }
}

TEST(RowScales, NoRoomIsWasted) {
  for (const Adversary& adversary : adversaries()) {
    SCOPED_TRACE(adversary.name);
    std::vector<float> x(2048);
    adversary.fill(x);
    const RowScale scale = scale_of(x, 36 * std::sqrt(2048.0), 4.6 * std::sqrt(2048.0), 0);
    const double used = (norm_of(integers(x, scale.scale)) + 4.6 * std::sqrt(2048.0)) * 36 *
                        std::sqrt(2048.0) / kHalf;
    if (adversary.name.find("zeros") != std::string::npos && adversary.name[0] != 'o') {
      EXPECT_EQ(scale.scale, 0);
      EXPECT_EQ(scale.inverse, 0);
    } else if (scale.scale < 0x1p125F) {  // else clamped
      EXPECT_GT(used, 0.99);
      EXPECT_LT(used, 1);
    }
  }
}

TEST(RowScales, TinyRowsHaveFiniteScales) {
  for (const float value : {std::numeric_limits<float>::denorm_min(), 1e-38F, 1e-35F}) {
    const RowScale scale = scale_of(std::vector<float>(64, value), 127, 0, 0);
    EXPECT_TRUE(std::isfinite(scale.scale)) << value;
    EXPECT_TRUE(std::isnormal(scale.inverse)) << value;
    EXPECT_GT(scale.scale, 1e30F) << value;
  }
}

TEST(RowScales, HugeRowsHaveNormalScales) {
  const std::vector<float> x(28672, std::numeric_limits<float>::max());
  // Hardly any room.
  const double root = std::sqrt(28672.0);
  const RowScale scale = scale_of(x, kHalf / (4.51 * root), 0, 0);
  EXPECT_TRUE(std::isnormal(scale.scale));
  EXPECT_TRUE(std::isfinite(scale.inverse));
  EXPECT_EQ(std::abs(integers(x, scale.scale)[0]), 4);
}

TEST(RowScales, Int16KeepsEveryElementWithin16Bits) {
  for (const Adversary& adversary : adversaries()) {
    SCOPED_TRACE(adversary.name);
    std::vector<float> x(333);
    adversary.fill(x);
    const RowScale scale = scale_of(x, 127, 0, 0, true);
    std::int64_t largest = 0;
    for (const std::int64_t value : integers(x, scale.scale)) {
      largest = std::max(largest, std::abs(value));
    }
    EXPECT_LE(largest, 32767);
    if (scale.scale > 0 && scale.scale < 0x1p125F) {
      EXPECT_EQ(largest, 32767);
    }
  }
}

TEST(RowScales, NameTheFirstRowThatIsNotFinite) {
  constexpr std::int64_t kRows = 5;
  for (const std::int64_t columns : {1, 15, 16, 17, 40}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
      for (std::int64_t column = 0; column < columns; ++column) {
        std::vector<float> x(static_cast<std::size_t>(kRows * columns), 1);
        std::array<RowScale, kRows> scales;
        x[static_cast<std::size_t>(3 * columns + column)] = bad;
        x[static_cast<std::size_t>(4 * columns)] = bad;
        testing::for_each_target(
            [&] { ASSERT_EQ(row_scales(x.data(), kRows, columns, 127, 0, 0, false, scales), 3); });
      }
    }
  }
}

TEST(RowScales, AreTheSameBitsOnEveryProcessor) {
  for (const std::int64_t columns : testing::kOddSizes) {
    constexpr std::int64_t kRows = 3;
    const auto x = testing::random_floats(kRows * columns, 8, 1e4F);
    std::vector<std::array<RowScale, kRows>> found;
    testing::for_each_target([&] {
      found.emplace_back();
      ASSERT_EQ(row_scales(x.data(), kRows, columns, 500, 3, 7, columns % 2 == 0, found.back()),
                -1);
    });
    for (const auto& scales : found) {
      EXPECT_EQ(std::memcmp(scales.data(), found[0].data(), sizeof scales), 0) << columns;
    }
  }
}

TEST(RowScales, WeightsThatLeaveNoRoomAreRefused) {
  const std::vector<float> x(64, 1);
  RowScale scale;
  const auto scaled = [&](double max_norm, double noise_norm, double margin) {
    return row_scales(x.data(), 1, 64, max_norm, noise_norm, margin, false, {&scale, 1});
  };
  EXPECT_EQ(scaled(1e7, 8, 0), -1);
  for (const auto& [max_norm, noise_norm, margin] :
       {std::array{3e7, 8.0, 0.0}, std::array{1e7, 100.0, 0.0}, std::array{1e3, 8.0, kHalf},
        std::array{std::numeric_limits<double>::infinity(), 0.0, 0.0},
        std::array{std::nan(""), 0.0, 0.0}}) {
    try {
      scaled(max_norm, noise_norm, margin);
      ADD_FAILURE() << max_norm;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    }
  }
}

}  // namespace
}  // namespace airlock::row_scales_test
