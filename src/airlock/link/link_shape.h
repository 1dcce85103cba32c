// What a link is like: bandwidth and round trip, as in `--shape 162MB/s,0.1ms`.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <string>
#include <string_view>

namespace airlock {

/// A link to emulate, the same in both directions.
struct LinkShape {
  double bytes_per_second = 0;  ///< of each direction, 1e3 to 1e12
  double rtt_ms = 0;            ///< round trip of an empty call, 0 to 10,000
};

/// Throws Error(kInvalidArgument) if a field is out of its range.
void check_link_shape(const LinkShape& shape);

/// "162MB/s,0.1ms", or a bandwidth alone: "10Gbit/s". Units as in core/quantity.h. Throws
/// Error(kInvalidArgument).
[[nodiscard]] LinkShape parse_link_shape(std::string_view text);

/// "162 MB/s, 0.1 ms": for people, and equal for equal shapes.
[[nodiscard]] std::string to_string(const LinkShape& shape);

}  // namespace airlock
