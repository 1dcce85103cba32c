#include "airlock/math/activation.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/math/convert.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"

namespace airlock::activation_test {
namespace {

double reference(double gate, double up) {
  return gate / (1 + std::exp(-gate)) * up;
}

/// What the header promises, and a floor where sigmoid is subnormal.
double bound(double gate, double up) {
  return 8 * testing::kF32Unit * std::fabs(reference(gate, up)) + 0x1p-120 * std::fabs(gate * up);
}

template <typename T>
void silu_mul_of(const T* gate, const T* up, std::int64_t count, T* out) {
  silu_mul(testing::tensor_at(gate, {count}), testing::tensor_at(up, {count}),
           testing::tensor_at(out, {count}));
}

TEST(SiluMul, StaysWithinItsErrorBoundAtEverySize) {
  testing::for_each_target([&] {
    std::vector<std::int64_t> sizes = testing::kOddSizes;
    sizes.push_back(200'003);
    for (const std::int64_t size : sizes) {
      const std::vector<float> gate = testing::random_floats(size + 1, 1, 5);
      const std::vector<float> up = testing::random_floats(size + 1, 2);
      std::vector<float> out(gate.size() + 1, 42);
      silu_mul_of(gate.data() + 1, up.data() + 1, size, out.data() + 1);
      for (std::size_t i = 1; i < gate.size(); ++i) {
        EXPECT_NEAR(out[i], reference(gate[i], up[i]), bound(gate[i], up[i])) << gate[i];
      }
      EXPECT_EQ(out.front(), 42);
      EXPECT_EQ(out.back(), 42);
    }
  });
}

TEST(SiluMul, StaysWithinItsErrorBoundOverTheWholeRange) {
  testing::for_each_target([&] {
    std::vector<float> gate;
    for (float value = -200; value <= 200; value += 0.01F) gate.push_back(value);
    const std::vector<float> up(gate.size(), 3);
    std::vector<float> out(gate.size());
    silu_mul_of(gate.data(), up.data(), static_cast<std::int64_t>(gate.size()), out.data());
    for (std::size_t i = 0; i < gate.size(); ++i) {
      EXPECT_NEAR(out[i], reference(gate[i], 3), bound(gate[i], 3)) << gate[i];
    }
  });
}

TEST(SiluMul, TreatsExtremesAsTorchDoes) {
  testing::for_each_target([&] {
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> gate = {infinity, -infinity, std::nanf(""), -1e30F, 1e30F, 0};
    const std::vector<float> up(gate.size(), 1);
    std::vector<float> out(gate.size());
    silu_mul_of(gate.data(), up.data(), static_cast<std::int64_t>(gate.size()), out.data());
    EXPECT_EQ(out[0], infinity);
    EXPECT_TRUE(std::isnan(out[1]));
    EXPECT_TRUE(std::isnan(out[2]));
    EXPECT_EQ(out[3], 0);
    EXPECT_EQ(out[4], 1e30F);
    EXPECT_EQ(out[5], 0);
  });
}

TEST(SiluMul, WorksInPlace) {
  std::vector<float> gate = testing::random_floats(77, 1);
  const std::vector<float> up = testing::random_floats(77, 2);
  std::vector<float> expected(gate.size());
  silu_mul_of(gate.data(), up.data(), 77, expected.data());
  silu_mul_of(gate.data(), up.data(), 77, gate.data());
  EXPECT_EQ(gate, expected);
}

TEST(SiluMul, RoundsBf16Once) {
  testing::for_each_target([&] {
    for (const std::int64_t size : testing::kOddSizes) {
      const std::vector<BF16> gate = testing::to_bf16(testing::random_floats(size, 1, 5));
      const std::vector<BF16> up = testing::to_bf16(testing::random_floats(size, 2));
      std::vector<BF16> out(gate.size());
      silu_mul_of(gate.data(), up.data(), size, out.data());
      for (std::size_t i = 0; i < gate.size(); ++i) {
        const double g = gate[i].to_float();
        const double u = up[i].to_float();
        EXPECT_NEAR(out[i].to_float(), reference(g, u),
                    testing::kBF16Unit * 1.001 * std::fabs(reference(g, u)) + bound(g, u));
      }
    }
  });
}

TEST(SiluMul, OfTensorsOfAnyFloatDtypeIsThatOfTheirValuesRoundedOnce) {
  testing::for_each_target([&] {
    const TensorSpec wide{DType::kF32, {3, 77}};
    std::vector<float> gate = testing::random_floats(3 * 77, 1, 5);
    std::vector<float> up = testing::random_floats(3 * 77, 2);
    const Tensor wide_gate{wide, reinterpret_cast<std::byte*>(gate.data())};
    const Tensor wide_up{wide, reinterpret_cast<std::byte*>(up.data())};
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      const TensorSpec spec{dtype, wide.shape};
      std::vector<std::byte> narrow[2], expected(static_cast<std::size_t>(spec.bytes()));
      for (auto& bytes : narrow) bytes.resize(expected.size());
      const Tensor narrow_gate{spec, narrow[0].data()};
      const Tensor narrow_up{spec, narrow[1].data()};
      convert(wide_gate, narrow_gate);
      convert(wide_up, narrow_up);
      convert(narrow_gate, wide_gate);
      convert(narrow_up, wide_up);
      std::vector<float> out(gate.size());
      const Tensor wide_out{wide, reinterpret_cast<std::byte*>(out.data())};
      silu_mul(wide_gate, wide_up, wide_out);
      convert(wide_out, {spec, expected.data()});
      silu_mul(narrow_gate, narrow_up, narrow_gate);
      EXPECT_EQ(narrow[0], expected) << dtype_name(dtype);
    }
  });
}

TEST(SiluMul, RefusesTensorsThatDifferOrAreNotFloats) {
  std::vector<std::byte> bytes(64);
  const auto of = [&](DType dtype, Shape shape) { return Tensor{{dtype, shape}, bytes.data()}; };
  const Tensor f32 = of(DType::kF32, {2, 3});
  EXPECT_THROW(silu_mul(f32, f32, of(DType::kF32, {3, 2})), Error);
  EXPECT_THROW(silu_mul(f32, of(DType::kBF16, {2, 3}), f32), Error);
  const Tensor int8 = of(DType::kI8, {2, 3});
  EXPECT_THROW(silu_mul(int8, int8, int8), Error);
}

}  // namespace
}  // namespace airlock::activation_test
