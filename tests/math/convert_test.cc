#include "airlock/math/convert.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/math/random.h"
#include "tests/math/targets.h"

namespace airlock::convert_test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<std::byte> storage(const TensorSpec& spec) {
  return std::vector<std::byte>(static_cast<std::size_t>(spec.bytes()));
}

/// Converts `values`, as a tensor of shape [rows, columns], to `dtype`.
std::vector<std::byte> encode(const std::vector<float>& values, Shape shape, DType dtype) {
  const TensorSpec from{DType::kF32, shape};
  const TensorSpec to{dtype, shape};
  std::vector<std::byte> out = storage(to);
  convert({from, reinterpret_cast<const std::byte*>(values.data())}, {to, out.data()});
  return out;
}

std::vector<float> decode(const std::vector<std::byte>& bytes, Shape shape, DType dtype) {
  std::vector<float> out(static_cast<std::size_t>(shape.elements()));
  convert({{dtype, shape}, bytes.data()},
          {{DType::kF32, shape}, reinterpret_cast<std::byte*>(out.data())});
  return out;
}

TEST(Convert, EveryBf16WidensAndReturnsAsItself) {
  testing::for_each_target([&] {
    std::vector<BF16> all(1 << 16);
    for (std::size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
    std::vector<float> wide(all.size());
    const auto count = static_cast<std::int64_t>(all.size());
    convert_elements(DType::kBF16, all.data(), DType::kF32, wide.data(), count);
    std::vector<BF16> back(all.size());
    convert_elements(DType::kF32, wide.data(), DType::kBF16, back.data(), count);
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(wide[i]),
                std::bit_cast<std::uint32_t>(all[i].to_float()));
      EXPECT_EQ(back[i].bits, BF16::from_float(wide[i]).bits);
    }
  });
}

TEST(Convert, EveryF16WidensAndReturnsAsItself) {
  testing::for_each_target([&] {
    std::vector<F16> all(1 << 16);
    for (std::size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
    std::vector<float> wide(all.size());
    const auto count = static_cast<std::int64_t>(all.size());
    convert_elements(DType::kF16, all.data(), DType::kF32, wide.data(), count);
    std::vector<F16> back(all.size());
    convert_elements(DType::kF32, wide.data(), DType::kF16, back.data(), count);
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(wide[i]),
                std::bit_cast<std::uint32_t>(all[i].to_float()));
      EXPECT_EQ(back[i].bits, F16::from_float(wide[i]).bits);
    }
  });
}

TEST(Convert, RoundsEveryKindOfFloatAsTheScalarConversions) {
  testing::for_each_target([&] {
    // Every upper half with the lower halves that decide a rounding: exact, just below, at and just
    // above the tie, for bf16 (16 bits dropped) and f16 (13 bits dropped).
    std::vector<float> values;
    for (std::uint32_t upper = 0; upper < 0x10000U; ++upper) {
      for (const std::uint32_t lower :
           {0x0U, 0x1U, 0xfffU, 0x1000U, 0x1001U, 0x7fffU, 0x8000U, 0x8001U, 0xf000U, 0xffffU}) {
        values.push_back(std::bit_cast<float>(upper << 16 | lower));
      }
    }
    const auto count = static_cast<std::int64_t>(values.size());
    std::vector<BF16> bf16(values.size());
    std::vector<F16> f16(values.size());
    convert_elements(DType::kF32, values.data(), DType::kBF16, bf16.data(), count);
    convert_elements(DType::kF32, values.data(), DType::kF16, f16.data(), count);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(bf16[i].bits, BF16::from_float(values[i]).bits) << values[i];
      ASSERT_EQ(f16[i].bits, F16::from_float(values[i]).bits) << values[i];
    }
  });
}

TEST(Convert, WorksAtEverySizeAndAtElementAlignmentWithoutTouchingNeighbours) {
  testing::for_each_target([&] {
    const DType floats[] = {DType::kF32, DType::kBF16, DType::kF16};
    for (const std::int64_t size : testing::kOddSizes) {
      const std::vector<float> values = testing::random_floats(size, 1);
      for (const DType from : floats) {
        for (const DType to : floats) {
          const std::vector<std::byte> source = encode(values, {size}, from);
          // Shift both by one element from their allocation.
          std::vector<std::byte> in(source.size() + dtype_size(from));
          std::memcpy(in.data() + dtype_size(from), source.data(), source.size());
          const TensorSpec spec{to, {size}};
          const auto bytes = static_cast<std::size_t>(spec.bytes());
          std::vector<std::byte> out(bytes + 2 * dtype_size(to), std::byte{0xa5});
          convert({{from, {size}}, in.data() + dtype_size(from)},
                  {spec, out.data() + dtype_size(to)});
          const std::vector<std::byte> expected = encode(decode(source, {size}, from), {size}, to);
          EXPECT_EQ(std::memcmp(out.data() + dtype_size(to), expected.data(), bytes), 0);
          EXPECT_EQ(out.front(), std::byte{0xa5});
          EXPECT_EQ(out.back(), std::byte{0xa5});
        }
      }
    }
  });
}

TEST(Convert, Int8ErrsByHalfAStepOfItsRow) {
  testing::for_each_target([&] {
    for (const std::int64_t columns : testing::kOddSizes) {
      const Shape shape{7, columns};
      std::vector<float> values = testing::random_floats(shape.elements(), 2, 3);
      for (std::int64_t i = 0; i < columns; ++i) values[static_cast<std::size_t>(i)] *= 1e6F;
      const std::vector<float> back = decode(encode(values, shape, DType::kI8), shape, DType::kI8);
      for (std::int64_t row = 0; row < 7; ++row) {
        double top = 0;
        for (std::int64_t i = row * columns; i < (row + 1) * columns; ++i) {
          top = std::max(top, std::fabs(static_cast<double>(values[static_cast<std::size_t>(i)])));
        }
        // Half a step, and the roundings of scale, quotient and product on a value of at most
        // `top`.
        const double bound = top / 127 / 2 + 4 * testing::kF32Unit * top;
        for (std::int64_t i = row * columns; i < (row + 1) * columns; ++i) {
          const auto at = static_cast<std::size_t>(i);
          EXPECT_NEAR(back[at], values[at], bound);
        }
      }
    }
  });
}

TEST(Convert, Int8ExtremesAndZeroRowsAreExact) {
  testing::for_each_target([&] {
    const Shape shape{3, 4};
    const std::vector<float> values = {0, 0, -0.0F, 0, 127, -127, 1, -64, 2.5F, -2.5F, 1, 0};
    const std::vector<std::byte> bytes = encode(values, shape, DType::kI8);
    ASSERT_EQ(bytes.size(), 12U + 3 * 4);
    const std::vector<int> expected = {0, 0, 0, 0, 127, -127, 1, -64, 127, -127, 51, 0};
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(static_cast<std::int8_t>(bytes[i]), expected[i]) << i;
    }
    std::array<float, 3> scales{};
    std::memcpy(scales.data(), bytes.data() + 12, sizeof(scales));
    EXPECT_EQ(scales[0], 0.0F);
    EXPECT_EQ(scales[1], 1.0F);
    EXPECT_EQ(scales[2], 2.5F / 127);
  });
}

TEST(Convert, Int8ClampsInfinityAndDropsNan) {
  testing::for_each_target([&] {
    const std::vector<float> values = {kInfinity, -kInfinity, kNan, 127, kInfinity, kNan, 0, 0};
    const Shape shape{2, 4};
    const std::vector<float> back = decode(encode(values, shape, DType::kI8), shape, DType::kI8);
    EXPECT_EQ(back, (std::vector<float>{127, -127, 0, 127, 0, 0, 0, 0}));
  });
}

TEST(Convert, Int8HoldsSubnormalRowsWithinTheirRange) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const int units : {1, 63, 64, 127, 190, 191, 1000}) {
    const std::vector<float> values = {static_cast<float>(units) * tiny, 0};
    const std::vector<float> back = decode(encode(values, {1, 2}, DType::kI8), {1, 2}, DType::kI8);
    EXPECT_LE(std::fabs(back[0]), values[0] * 1.5F) << units;
    EXPECT_EQ(back[1], 0);
  }
}

TEST(Convert, Int8MeetsTheHalfFloatsThroughF32) {
  testing::for_each_target([&] {
    for (const DType half : {DType::kBF16, DType::kF16}) {
      const Shape shape{5, 33};
      const std::vector<float> values = testing::random_floats(shape.elements(), 3);
      const std::vector<std::byte> halves = encode(values, shape, half);
      const TensorSpec int8{DType::kI8, shape};
      std::vector<std::byte> direct = storage(int8);
      convert({{half, shape}, halves.data()}, {int8, direct.data()});
      EXPECT_EQ(direct, encode(decode(halves, shape, half), shape, DType::kI8));
      std::vector<std::byte> back = storage({half, shape});
      convert({int8, direct.data()}, {{half, shape}, back.data()});
      EXPECT_EQ(back, encode(decode(direct, shape, DType::kI8), shape, half));
    }
  });
}

TEST(Convert, LargeTensorsOnManyThreadsEqualTheSerialResult) {
  const std::int64_t count = 1'000'003;
  const std::vector<float> values = testing::random_floats(count, 4);
  const std::vector<std::byte> bytes = encode(values, {count}, DType::kBF16);
  std::vector<BF16> serial(values.size());
  convert_elements(DType::kF32, values.data(), DType::kBF16, serial.data(), count);
  EXPECT_EQ(std::memcmp(bytes.data(), serial.data(), bytes.size()), 0);
}

TEST(Convert, RefusesUnequalShapesAndIds) {
  std::array<std::byte, 64> buffer{};
  const auto expect_refused = [&](TensorSpec from, TensorSpec to) {
    try {
      convert({from, buffer.data()}, {to, buffer.data()});
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    }
  };
  expect_refused({DType::kF32, {2, 3}}, {DType::kBF16, {3, 2}});
  expect_refused({DType::kF32, {4}}, {DType::kI64, {4}});
  expect_refused({DType::kI64, {4}}, {DType::kI8, {4}});
}

}  // namespace
}  // namespace airlock::convert_test
