#include "airlock/kernels/int8_weight.h"

#include <cfenv>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/denormals.h"
#include "airlock/core/error.h"

#include "tests/worker/backend_model.h"

namespace airlock::testing::int8_weight_test {
namespace {

struct Quantized {
  std::vector<std::int8_t> q;
  std::vector<float> scales;
};

Quantized quantize(ConstTensor weight) {
  const std::int64_t rows = weight.spec.shape[0];
  Quantized result;
  result.q.resize(static_cast<std::size_t>(rows * weight.spec.shape[1]));
  result.scales.resize(static_cast<std::size_t>(rows));
  quantize_weight_rows(weight, 0, rows, result.q, result.scales);
  return result;
}

/// As the contract says, one element at a time. `values` are those of the stored elements.
Quantized reference(const std::vector<double>& values, std::int64_t in) {
  Quantized result;
  for (std::size_t first = 0; first < values.size(); first += static_cast<std::size_t>(in)) {
    float most = 0;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(in); ++i) {
      most = std::max(most, std::fabs(static_cast<float>(values[i])));
    }
    const float scale = most / 127.0F;
    result.scales.push_back(scale);
    for (std::size_t i = first; i < first + static_cast<std::size_t>(in); ++i) {
      const float exact = scale == 0 ? 0.0F : static_cast<float>(values[i]) / scale;
      const float rounded = std::nearbyint(std::min(std::max(exact, -127.0F), 127.0F));
      result.q.push_back(static_cast<std::int8_t>(rounded));
    }
  }
  return result;
}

void expect_as_reference(const OwnedTensor& weight) {
  const Quantized got = quantize(weight);
  const Quantized expected = reference(weight.values(), weight.spec().shape[1]);
  EXPECT_EQ(got.q, expected.q) << dtype_name(weight.spec().dtype);
  EXPECT_EQ(got.scales, expected.scales);
}

TEST(Int8WeightTest, RowsOfEveryDtypeAndLengthAreAsTheContractSays) {
  ASSERT_EQ(std::fegetround(), FE_TONEAREST);
  std::mt19937_64 rng(1);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const std::int64_t in : {1, 2, 15, 16, 17, 63, 64, 100, 1000}) {
      expect_as_reference(random_tensor(rng, dtype, {5, in}, 0.02));
    }
  }
}

TEST(Int8WeightTest, TiesGoToEven) {
  const OwnedTensor weight(DType::kF32, {1, 7}, {127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5});
  EXPECT_THAT(quantize(weight).q, ::testing::ElementsAre(127, 0, 2, 2, 0, -2, -2));
}

TEST(Int8WeightTest, RowsAtTheEndsOfF32AreTaken) {
  const double tiny = std::numeric_limits<float>::denorm_min();
  const double huge = std::numeric_limits<float>::max();
  expect_as_reference(OwnedTensor(DType::kF32, {6, 3},
                                  {0, 0, 0, tiny, -tiny, 0, 200 * tiny, -150 * tiny, 63 * tiny,
                                   huge, -huge, huge / 2, 1e-38, -3e-39, 1e-40, 0, -0.0, 1}));
  // 190 / 127 of the smallest float is rounded to one of it, and 190 are more than 127.
  const Quantized ends = quantize(OwnedTensor(DType::kF32, {1, 2}, {190 * tiny, -190 * tiny}));
  EXPECT_THAT(ends.q, ::testing::ElementsAre(127, -127));
  const Quantized lost = quantize(OwnedTensor(DType::kF32, {1, 2}, {tiny, 0}));
  EXPECT_EQ(lost.scales[0], 0);
  EXPECT_EQ(lost.q[0], 0);
}

TEST(Int8WeightTest, IsTheSameOnThreadsThatFlushDenormals) {
  const double tiny = std::numeric_limits<float>::denorm_min();
  const double least = std::numeric_limits<float>::min();
  const OwnedTensor weight(DType::kF32, {2, 2}, {190 * tiny, -190 * tiny, 3 * least, -least / 2});
  const Quantized kept = quantize(weight);
  const FlushDenormals flush;
  const Quantized flushed = quantize(weight);
  EXPECT_EQ(kept.q, flushed.q);
  EXPECT_EQ(std::memcmp(kept.scales.data(), flushed.scales.data(), 2 * sizeof(float)), 0);
}

TEST(Int8WeightTest, PartOfTheRowsIsThatPartOfTheWhole) {
  std::mt19937_64 rng(2);
  const OwnedTensor weight = random_tensor(rng, DType::kBF16, {20, 33});
  const Quantized whole = quantize(weight);
  std::vector<std::int8_t> q(std::size_t{4} * 33);
  std::vector<float> scales(4);
  quantize_weight_rows(weight, 7, 4, q, scales);
  EXPECT_TRUE(std::equal(q.begin(), q.end(), whole.q.begin() + 7 * 33));
  EXPECT_TRUE(std::equal(scales.begin(), scales.end(), whole.scales.begin() + 7));
}

TEST(Int8WeightTest, AWeightThatIsNotFiniteIsRefusedWithItsRow) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const double bad : {double{INFINITY}, -double{INFINITY}, double{NAN}}) {
      std::vector<double> values(90, 0.25);
      values[47] = bad;
      try {
        quantize(OwnedTensor(dtype, {9, 10}, values));
        FAIL() << bad << " was taken";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
        EXPECT_THAT(error.what(), ::testing::HasSubstr("row 4 "));
      }
    }
  }
}

TEST(Int8WeightTest, OtherDtypesAreRefused) {
  EXPECT_THROW(quantize(OwnedTensor({1, 2})), Error);
}

}  // namespace
}  // namespace airlock::testing::int8_weight_test
