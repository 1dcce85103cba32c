#include "airlock/math/softmax.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/math/convert.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"

namespace airlock::softmax_test {
namespace {

struct Case {
  std::int64_t heads, tokens, context, position;
  float deviation;
};

class CausalSoftmax : public ::testing::TestWithParam<Case> {};

TEST_P(CausalSoftmax, EqualsF64WithinItsBound) {
  testing::for_each_target([&] {
    const auto [heads, tokens, context, position, deviation] = GetParam();
    const std::vector<float> scores =
        testing::random_floats(heads * tokens * context, 1, deviation);
    const float scale = 0.3F;
    std::vector<float> out = scores;
    causal_softmax(testing::tensor_at(out.data(), {heads, tokens, context}), position, scale);
    for (std::int64_t row = 0; row < heads * tokens; ++row) {
      const float* in = scores.data() + row * context;
      const float* got = out.data() + row * context;
      const std::int64_t attended = position + row % tokens + 1;
      double top = -std::numeric_limits<double>::infinity();
      for (std::int64_t i = 0; i < attended; ++i)
        top = std::max(top, static_cast<double>(in[i]) * scale);
      double sum = 0;
      for (std::int64_t i = 0; i < attended; ++i) sum += std::exp(in[i] * double{scale} - top);
      for (std::int64_t i = 0; i < context; ++i) {
        if (i >= attended) {
          ASSERT_EQ(got[i], 0.0F);
          continue;
        }
        const double exponent = in[i] * double{scale} - top;
        const double expected = std::exp(exponent) / sum;
        // The rounded exponent, the rounded maximum (common to the row), exp's 2 ulp in term and
        // sum, up to 4096 / 8 additions of a partial sum (half of them, in effect) and the
        // division.
        const double additions = std::min<double>(static_cast<double>(attended), 512);
        const double relative =
            testing::kF32Unit * (std::fabs(exponent) + std::fabs(top) + 8 + additions);
        ASSERT_NEAR(got[i], expected, relative * expected + 0x1p-126) << row << " " << i;
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, CausalSoftmax,
                         ::testing::Values(Case{1, 1, 1, 0, 1}, Case{1, 1, 1, 0, 1000},
                                           Case{2, 3, 3, 0, 1}, Case{3, 5, 40, 0, 10},
                                           Case{3, 5, 40, 35, 10}, Case{2, 17, 33, 16, 100},
                                           Case{1, 1, 5000, 4999, 1}, Case{1, 2, 9001, 8999, 3},
                                           Case{4, 130, 130, 0, 30}, Case{1, 7, 64, 3, 1e6F}));

TEST(CausalSoftmaxRows, IgnoresWhatTheMaskHides) {
  testing::for_each_target([&] {
    const float nan = std::nanf("");
    std::vector<float> scores = {1, nan, nan, 1, 1, nan, 1, 1, 1};
    causal_softmax(testing::tensor_at(scores.data(), {1, 3, 3}), 0, 1);
    const float third = 1.0F / 3;
    EXPECT_EQ(scores, (std::vector<float>{1, 0, 0, 0.5F, 0.5F, 0, third, third, third}));
  });
}

TEST(CausalSoftmaxRows, PassesNanAndInfinityOnAsTorchDoes) {
  testing::for_each_target([&] {
    const float infinity = std::numeric_limits<float>::infinity();
    const float nan = std::nanf("123");  // a payload must not leak into the arithmetic
    std::vector<float> scores = {1, nan,       2, 1,         infinity,  2,
                                 1, -infinity, 1, -infinity, -infinity, -infinity};
    for (std::size_t row = 0; row < 4; ++row) {
      causal_softmax(testing::tensor_at(scores.data() + 3 * row, {1, 1, 3}), 2, 1);
    }
    for (std::size_t i = 0; i < 6; ++i) EXPECT_TRUE(std::isnan(scores[i])) << i;
    EXPECT_EQ(scores[6], 0.5F);
    EXPECT_EQ(scores[7], 0);
    for (std::size_t i = 9; i < 12; ++i) EXPECT_TRUE(std::isnan(scores[i])) << i;
  });
}

/// Scores and probabilities in `dtype`, each f32 value rounded once.
TEST_P(CausalSoftmax, OfNarrowScoresIsThatOfTheirValuesRoundedOnce) {
  testing::for_each_target([&] {
    const auto [heads, tokens, context, position, deviation] = GetParam();
    const Shape shape{heads, tokens, context};
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      std::vector<float> wide = testing::random_floats(heads * tokens * context, 1, deviation);
      std::vector<std::uint16_t> narrow(wide.size());
      const Tensor wide_tensor{{DType::kF32, shape}, reinterpret_cast<std::byte*>(wide.data())};
      const Tensor tensor{{dtype, shape}, reinterpret_cast<std::byte*>(narrow.data())};
      convert(wide_tensor, tensor);
      convert(tensor, wide_tensor);
      causal_softmax(tensor, position, 0.3F);
      causal_softmax(wide_tensor, position, 0.3F);
      std::vector<std::uint16_t> expected(wide.size());
      convert(wide_tensor, Tensor{tensor.spec, reinterpret_cast<std::byte*>(expected.data())});
      ASSERT_EQ(narrow, expected) << dtype_name(dtype);
    }
  });
}

TEST(CausalSoftmaxRows, RefusesOtherDtypesAndShapes) {
  std::vector<std::byte> bytes(64);
  EXPECT_THROW(causal_softmax({{DType::kI8, {1, 2, 2}}, bytes.data()}, 0, 1), Error);
  EXPECT_THROW(causal_softmax({{DType::kI64, {1, 2, 2}}, bytes.data()}, 0, 1), Error);
  EXPECT_THROW(causal_softmax({{DType::kF32, {2, 2}}, bytes.data()}, 0, 1), Error);
}

TEST(CausalSoftmaxRows, RefusesWhatDoesNotFitTheContext) {
  std::vector<float> scores(12);
  EXPECT_THROW(causal_softmax(testing::tensor_at(scores.data(), {1, 3, 4}), 2, 1), Error);
  EXPECT_THROW(causal_softmax(testing::tensor_at(scores.data(), {1, 3, 4}), -1, 1), Error);
  EXPECT_THROW(causal_softmax(testing::tensor_at(scores.data(), {1, 3, 4}), 0, std::nanf("")),
               Error);
  EXPECT_THROW(causal_softmax(testing::tensor_at(scores.data(), {1, 3, 4}), 0, -1), Error);
}

}  // namespace
}  // namespace airlock::softmax_test
