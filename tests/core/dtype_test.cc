#include "airlock/core/dtype.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::dtype_test {
namespace {

TEST(DType, NamesRoundTrip) {
  for (unsigned i = 0; is_dtype(i); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(parse_dtype(dtype_name(dtype)), dtype);
  }
  EXPECT_THROW(parse_dtype("fp64"), Error);
}

TEST(BF16, EveryFiniteValueSurvivesARoundTrip) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const BF16 value{static_cast<std::uint16_t>(bits)};
    if (std::isnan(value.to_float())) continue;
    EXPECT_EQ(BF16::from_float(value.to_float()).bits, bits);
  }
}

TEST(F16, EveryFiniteValueSurvivesARoundTrip) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const F16 value{static_cast<std::uint16_t>(bits)};
    if (std::isnan(value.to_float())) continue;
    EXPECT_EQ(F16::from_float(value.to_float()).bits, bits);
  }
}

TEST(BF16, RoundsTiesToEven) {
  EXPECT_EQ(BF16::from_float(1.0F + 0x1p-8F).bits, 0x3f80);
  EXPECT_EQ(BF16::from_float(1.0F + 3 * 0x1p-8F).bits, 0x3f82);
}

TEST(F16, RoundsTiesToEvenAndOverflowsToInfinity) {
  EXPECT_EQ(F16::from_float(1.0F + 0x1p-11F).bits, 0x3c00);
  EXPECT_EQ(F16::from_float(1.0F + 3 * 0x1p-11F).bits, 0x3c02);
  EXPECT_EQ(F16::from_float(65504.0F).bits, 0x7bff);
  EXPECT_EQ(F16::from_float(65520.0F).bits, 0x7c00);
  EXPECT_EQ(F16::from_float(0x1p-25F).bits, 0);
}

TEST(FloatConversions, KeepNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(BF16::from_float(nan).to_float()));
  EXPECT_TRUE(std::isnan(F16::from_float(nan).to_float()));
}

}  // namespace
}  // namespace airlock::dtype_test
