#include "airlock/link/link_shape.h"

#include "airlock/core/error.h"
#include "airlock/core/quantity.h"

namespace airlock {
namespace {

// Beyond these a link is a typing error, and times of bytes leave the clock's range or precision.
constexpr double kSlowest = 1e3;
constexpr double kFastest = 1e12;
constexpr double kLongestRtt = 10'000;

}  // namespace

void check_link_shape(const LinkShape& shape) {
  require(shape.bytes_per_second >= kSlowest && shape.bytes_per_second <= kFastest,
          ErrorCode::kInvalidArgument, "a bandwidth of {:g} B/s, expected 1kB/s to 1TB/s",
          shape.bytes_per_second);
  require(shape.rtt_ms >= 0 && shape.rtt_ms <= kLongestRtt, ErrorCode::kInvalidArgument,
          "a round trip of {:g} ms, expected 0 to 10s", shape.rtt_ms);
}

LinkShape parse_link_shape(std::string_view text) {
  const std::size_t comma = text.find(',');
  try {
    LinkShape shape;
    shape.bytes_per_second = parse_bandwidth(text.substr(0, comma));
    if (comma != std::string_view::npos) shape.rtt_ms = parse_duration_ms(text.substr(comma + 1));
    check_link_shape(shape);
    return shape;
  } catch (const Error& error) {
    fail(error.code(), "link shape `{}`: {}", text, error.what());
  }
}

std::string to_string(const LinkShape& shape) {
  return fmt::format("{} MB/s, {} ms", shape.bytes_per_second / 1e6, shape.rtt_ms);
}

}  // namespace airlock
