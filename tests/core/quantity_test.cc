#include "airlock/core/quantity.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::quantity_test {
namespace {
using ::testing::HasSubstr;

TEST(ParseQuantities, UnitsAreDecimalUnlessTheySayBinary) {
  const struct {
    const char* text;
    double value;
  } cases[] = {{"162MB/s", 162e6}, {"10Gbit/s", 1.25e9},
               {"1.2GB/s", 1.2e9}, {"900 MiB/s", 900. * 1048576},
               {"1Gbps", 125e6},   {"5e3B/s", 5000}};
  for (const auto& c : cases) EXPECT_DOUBLE_EQ(parse_bandwidth(c.text), c.value) << c.text;
  EXPECT_DOUBLE_EQ(parse_duration_ms("0.1ms"), 0.1);
  EXPECT_DOUBLE_EQ(parse_duration_ms("20us"), 0.02);
  EXPECT_DOUBLE_EQ(parse_duration_ms("1s"), 1000);
  EXPECT_DOUBLE_EQ(parse_duration_ms("0"), 0);
  EXPECT_DOUBLE_EQ(parse_compute_rate("400GFLOP/s"), 400e9);
}

TEST(ParseQuantities, WhatIsNoQuantityIsRefusedWithAnExample) {
  for (const char* text : {"", "fast", "MB/s", "162", "162mb/s", "-1MB/s", "0MB/s", "0", "nanMB/s",
                           "infMB/s", "1e999MB/s", "1MB/s extra"}) {
    try {
      parse_bandwidth(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << text;
      EXPECT_THAT(error.what(), HasSubstr("bandwidth")) << text;
    }
  }
  EXPECT_THROW(parse_duration_ms("1"), Error);
  EXPECT_THROW(parse_duration_ms("-1ms"), Error);
  EXPECT_THROW(parse_compute_rate("0GFLOP/s"), Error);
}

TEST(Quantities, OfAnUnderstoodUnitAreNoneOrWithinBounds) {
  EXPECT_EQ(bytes_of_gib("--budget", 0), 0);
  EXPECT_EQ(bytes_of_gib("--budget", 0.5), std::int64_t{1} << 29);
  EXPECT_EQ(bytes_of_gib("--budget", 1024 / 0x1p30), 1024);
  EXPECT_EQ(bytes_of_gib("--budget", 1e9), 1000000000 * (std::int64_t{1} << 30));
  EXPECT_EQ(time_of_seconds("--time", 0).count(), 0);
  EXPECT_EQ(time_of_seconds("--time", 0.001).count(), 1);
  EXPECT_EQ(time_of_seconds("--time", 2.5).count(), 2500);
  EXPECT_EQ(rate_of("--rate", 1e9), 1e9);
}

TEST(Quantities, ThatWouldMeanNoLimitAreRefusedByName) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto expect_refused = [](double value, const auto& take) {
    try {
      (void)take("--flag", value);
      ADD_FAILURE() << value;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr("--flag is ")) << value;
    }
  };
  for (const double value : {std::nan(""), kInfinity, -kInfinity, -1.0, 1e-9, 1e300, 1e19}) {
    expect_refused(value, bytes_of_gib);
    expect_refused(value, time_of_seconds);
    expect_refused(value, rate_of);
  }
}

}  // namespace
}  // namespace airlock::quantity_test
