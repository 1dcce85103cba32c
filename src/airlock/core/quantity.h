// Quantities as people write them on a command line: a number and a unit, or a number whose unit is
// understood. core/ knows what they mean, not what they are for.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace airlock {

/// "162MB/s", "10Gbit/s", "1.2GB/s", "900MiB/s": bytes a second. M is 10^6 and Mi 2^20; B bytes,
/// bit bits; "Gbps" is "Gbit/s". Throws Error(kInvalidArgument) for anything else or not above 0.
double parse_bandwidth(std::string_view text);
/// "0.1ms", "20us", "1s", "0": milliseconds. Throws Error(kInvalidArgument).
double parse_duration_ms(std::string_view text);
/// "400GFLOP/s", "1.2TFLOP/s": operations a second. Throws Error(kInvalidArgument).
double parse_compute_rate(std::string_view text);

/// A budget of `gib` GiB in bytes: 0, or 1 KiB to 2^60 bytes. `what` names it in errors. Throws
/// Error(kInvalidArgument) for anything else, infinities and NaN among it: a budget so small that
/// it would round to none, or so large that it is none, is a mistake.
[[nodiscard]] std::int64_t bytes_of_gib(std::string_view what, double gib);
/// A time-out of `seconds`: 0, or 1 ms to 10^9 s. Throws likewise.
[[nodiscard]] std::chrono::milliseconds time_of_seconds(std::string_view what, double seconds);
/// Things a second: 0, or 1 to 10^18. Throws likewise.
[[nodiscard]] double rate_of(std::string_view what, double rate);

}  // namespace airlock
