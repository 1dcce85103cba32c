#include "airlock/math/gemv.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/math/convert.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"

namespace airlock::gemv_test {
namespace {

const DType kStored[] = {DType::kF32, DType::kBF16, DType::kF16};

/// A weight matrix that starts one element past its allocation: checkpoints align no further.
class Weights {
 public:
  Weights(DType dtype, std::int64_t outputs, std::int64_t inputs, unsigned seed)
      : spec_{dtype, {outputs, inputs}},
        bytes_(static_cast<std::size_t>(spec_.bytes()) + dtype_size(dtype)),
        values_(random_floats_of(seed)) {
    std::byte* at = bytes_.data() + dtype_size(dtype);
    convert_elements(DType::kF32, values_.data(), dtype, at, outputs * inputs);
    convert_elements(dtype, at, DType::kF32, values_.data(), outputs * inputs);
  }
  [[nodiscard]] ConstTensor tensor() const {
    return {spec_, bytes_.data() + dtype_size(spec_.dtype)};
  }
  /// Exactly what is stored.
  [[nodiscard]] float value(std::int64_t output, std::int64_t input) const {
    return values_[static_cast<std::size_t>(output * spec_.shape[1] + input)];
  }

 private:
  [[nodiscard]] std::vector<float> random_floats_of(unsigned seed) const {
    return testing::random_floats(spec_.shape.elements(), seed);
  }

  TensorSpec spec_;
  std::vector<std::byte> bytes_;
  std::vector<float> values_;
};

/// Sums of `inputs` products in f32, in any order: each product and each of inputs - 1 additions
/// rounds once, so the error is below inputs * u / (1 - inputs * u) times the sum of magnitudes
/// (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
void expect_products(const std::vector<float>& x, std::int64_t rows, const Weights& w,
                     const std::vector<float>& out) {
  const std::int64_t outputs = w.tensor().spec.shape[0];
  const std::int64_t inputs = w.tensor().spec.shape[1];
  const double roundings = static_cast<double>(inputs) * testing::kF32Unit;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t o = 0; o < outputs; ++o) {
      double expected = 0;
      double magnitude = 0;
      for (std::int64_t i = 0; i < inputs; ++i) {
        const double product =
            static_cast<double>(x[static_cast<std::size_t>(row * inputs + i)]) * w.value(o, i);
        expected += product;
        magnitude += std::fabs(product);
      }
      ASSERT_NEAR(out[static_cast<std::size_t>(row * outputs + o)], expected,
                  roundings / (1 - roundings) * magnitude)
          << rows << " rows of " << inputs << ", row " << row << ", output " << o;
    }
  }
}

std::vector<float> products(const std::vector<float>& x, std::int64_t rows, const Weights& w) {
  const std::int64_t outputs = w.tensor().spec.shape[0];
  std::vector<float> out(static_cast<std::size_t>(rows * outputs + 1), 77);
  const GemvProduct product{w.tensor(), out.data()};
  gemv(x.data(), rows, {&product, 1});
  EXPECT_EQ(out.back(), 77) << "wrote past the end";
  out.pop_back();
  return out;
}

TEST(Gemv, EqualsF64WithinItsRoundings) {
  testing::for_each_target([&] {
    for (const DType dtype : kStored) {
      SCOPED_TRACE(dtype_name(dtype));
      for (const std::int64_t inputs : testing::kOddSizes) {
        for (const std::int64_t outputs : {1, 3, 4, 9}) {
          const Weights w(dtype, outputs, inputs, 1);
          for (std::int64_t rows = 1; rows <= 9; ++rows) {
            const std::vector<float> x = testing::random_floats(rows * inputs, 2);
            expect_products(x, rows, w, products(x, rows, w));
          }
        }
      }
    }
  });
}

TEST(Gemv, ManyOutputsOnManyThreadsAreAllWritten) {
  for (const DType dtype : kStored) {
    const Weights w(dtype, 1027, 517, 3);
    const std::vector<float> x = testing::random_floats(2 * 517, 4);
    expect_products(x, 2, w, products(x, 2, w));
  }
}

TEST(Gemv, ARowIsTheSameBitsWhateverComesWithIt) {
  testing::for_each_target([&] {
    for (const DType dtype : kStored) {
      constexpr std::int64_t kInputs = 301;
      constexpr std::int64_t kOutputs = 11;
      constexpr std::int64_t kRows = 13;
      const Weights w(dtype, kOutputs, kInputs, 5);
      const std::vector<float> x = testing::random_floats(kRows * kInputs, 6);
      const std::vector<float> together = products(x, kRows, w);
      for (std::int64_t row = 0; row < kRows; ++row) {
        const auto from = x.begin() + row * kInputs;
        const std::vector<float> alone = products({from, from + kInputs}, 1, w);
        EXPECT_EQ(
            std::memcmp(alone.data(), together.data() + row * kOutputs, kOutputs * sizeof(float)),
            0)
            << dtype_name(dtype) << " row " << row;
      }
    }
  });
}

TEST(Gemv, WidensSubnormalHalvesAndLargestWeightsExactlyAndTakesSubnormalFloatsForZero) {
  testing::for_each_target([&] {
    // Every finite half alone in its row, so that nothing is rounded on the way.
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      std::vector<std::uint16_t> bits;
      for (std::uint32_t i = 0; i < 0x10000U; ++i) {
        const auto half = static_cast<std::uint16_t>(i);
        if ((half & 0x7c00U) != 0x7c00U) bits.push_back(half);
      }
      const auto count = static_cast<std::int64_t>(bits.size());
      std::vector<float> expected;
      for (const std::uint16_t half : bits) {
        const float value = dtype == DType::kF16 ? F16{half}.to_float() : BF16{half}.to_float();
        // A subnormal f16 is a normal f32, a subnormal bf16 is none.
        expected.push_back(std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value)
                                                                  : value);
      }
      std::vector<float> out(bits.size());
      const float one = 1;
      const GemvProduct product{
          {{dtype, {count, 1}}, reinterpret_cast<const std::byte*>(bits.data())}, out.data()};
      gemv(&one, 1, {&product, 1});
      EXPECT_EQ(out, expected) << dtype_name(dtype);
    }
  });
}

TEST(Gemv, RefusesWeightsOfAnotherDtype) {
  const float x = 1;
  float out = 0;
  const std::int8_t weight = 1;
  const ConstTensor w{{DType::kI8, {1, 1}}, reinterpret_cast<const std::byte*>(&weight)};
  const GemvProduct product{w, &out};
  EXPECT_THROW(gemv(&x, 1, {&product, 1}), Error);
}

TEST(Gemv, SeveralProductsAtOnceAreTheBitsOfEachAlone) {
  testing::for_each_target([&] {
    constexpr std::int64_t kInputs = 517;
    constexpr std::int64_t kRows = 3;
    const std::vector<Weights> weights = {Weights(DType::kBF16, 1027, kInputs, 7),
                                          Weights(DType::kF32, 1, kInputs, 8),
                                          Weights(DType::kF16, 130, kInputs, 9)};
    const std::vector<float> x = testing::random_floats(kRows * kInputs, 10);
    std::vector<std::vector<float>> out;
    std::vector<GemvProduct> together;
    for (const Weights& w : weights) {
      out.emplace_back(static_cast<std::size_t>(kRows * w.tensor().spec.shape[0]), 77.0F);
      together.push_back({w.tensor(), out.back().data()});
    }
    gemv(x.data(), kRows, together);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      EXPECT_EQ(out[i], products(x, kRows, weights[i])) << "product " << i;
    }
  });
}

TEST(Gemv, RefusesProductsOfDifferentInputs) {
  const std::vector<float> x(4, 1.0F);
  float out = 0;
  const float weights[4] = {};
  const auto w = [&](std::int64_t inputs) {
    return ConstTensor{{DType::kF32, {1, inputs}}, reinterpret_cast<const std::byte*>(weights)};
  };
  const GemvProduct products[] = {{w(4), &out}, {w(3), &out}};
  EXPECT_THROW(gemv(x.data(), 1, products), Error);
}

}  // namespace
}  // namespace airlock::gemv_test
