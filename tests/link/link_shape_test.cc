#include "airlock/link/link_shape.h"

#include <cmath>

#include "tests/link/link_support.h"

namespace airlock::link_shape_test {
namespace {

TEST(LinkShape, IsABandwidthWithOrWithoutARoundTrip) {
  const struct {
    const char* text;
    double bytes_per_second;
    double rtt_ms;
  } cases[] = {{"162MB/s,0.1ms", 162e6, 0.1},
               {"10Gbit/s", 1.25e9, 0},
               {"20 MiB/s,1 s", 20 * 1048576., 1000},
               {"1kB/s,0", 1e3, 0},
               {"1TB/s,20us", 1e12, 0.02}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const LinkShape shape = parse_link_shape(c.text);
    EXPECT_DOUBLE_EQ(shape.bytes_per_second, c.bytes_per_second);
    EXPECT_DOUBLE_EQ(shape.rtt_ms, c.rtt_ms);
  }
}

TEST(LinkShape, ThatIsNoneIsRefusedWithWhatIsExpected) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {{"", "bandwidth is ``, expected"},
               {"fast", "link shape `fast`: bandwidth is `fast`, expected a number and a unit"},
               {"0.1ms,162MB/s", "bandwidth is `0.1ms`"},
               {",0.1ms", "bandwidth is ``"},
               {"162MB/s,", "time is ``"},
               {"162MB/s,0.1", "time is `0.1`"},
               {"162MB/s,-1ms", "time is `-1ms`"},
               {"162MB/s,1ms,1ms", "time is `1ms,1ms`"},
               {"0MB/s", "more than 0"},
               {"999B/s", "999 B/s, expected 1kB/s to 1TB/s"},
               {"2TB/s", "expected 1kB/s to 1TB/s"},
               {"1MB/s,11s", "11000 ms, expected 0 to 10s"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    expect_error(ErrorCode::kInvalidArgument, c.message, [&] { (void)parse_link_shape(c.text); });
  }
}

TEST(LinkShape, OfNumbersIsCheckedAsOneOfText) {
  check_link_shape({162e6, 0.1});
  expect_error(ErrorCode::kInvalidArgument, "bandwidth", [] { check_link_shape({}); });
  expect_error(ErrorCode::kInvalidArgument, "bandwidth", [] {
    check_link_shape({std::nan(""), 0});
  });
  expect_error(ErrorCode::kInvalidArgument, "round trip", [] { check_link_shape({1e6, -1}); });
}

}  // namespace
}  // namespace airlock::link_shape_test
