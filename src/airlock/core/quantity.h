// Quantities as people write them on a command line: a number and a unit.
// core/ knows what they mean, not what they are for.
#pragma once

#include <string_view>

namespace airlock {

/// "162MB/s", "10Gbit/s", "1.2GB/s", "900MiB/s": bytes a second. M is 10^6 and Mi 2^20; B bytes,
/// bit bits; "Gbps" is "Gbit/s". Throws Error(kInvalidArgument) for anything else or not above 0.
double parse_bandwidth(std::string_view text);
/// "0.1ms", "20us", "1s", "0": milliseconds. Throws Error(kInvalidArgument).
double parse_duration_ms(std::string_view text);
/// "400GFLOP/s", "1.2TFLOP/s": operations a second. Throws Error(kInvalidArgument).
double parse_compute_rate(std::string_view text);

}  // namespace airlock
