#include "airlock/core/quantity.h"

#include <charconv>
#include <cmath>
#include <span>
#include <system_error>

#include "airlock/core/error.h"

namespace airlock {
namespace {
struct Unit {
  std::string_view name;
  double factor;
};

constexpr Unit kBandwidthUnits[] = {
    {"B/s", 1},           {"kB/s", 1e3},       {"MB/s", 1e6},       {"GB/s", 1e9},
    {"TB/s", 1e12},       {"KiB/s", 1024},     {"MiB/s", 1048576},  {"GiB/s", 1073741824},
    {"bit/s", 1. / 8},    {"kbit/s", 1e3 / 8}, {"Mbit/s", 1e6 / 8}, {"Gbit/s", 1e9 / 8},
    {"Tbit/s", 1e12 / 8}, {"kbps", 1e3 / 8},   {"Mbps", 1e6 / 8},   {"Gbps", 1e9 / 8},
};
constexpr Unit kDurationUnits[] = {{"ns", 1e-6}, {"us", 1e-3}, {"µs", 1e-3}, {"ms", 1}, {"s", 1e3}};
constexpr Unit kRateUnits[] = {{"FLOP/s", 1},     {"MFLOP/s", 1e6},  {"GFLOP/s", 1e9},
                               {"TFLOP/s", 1e12}, {"PFLOP/s", 1e15}, {"MFLOPS", 1e6},
                               {"GFLOPS", 1e9},   {"TFLOPS", 1e12},  {"PFLOPS", 1e15}};

/// A number and one of `units`, blanks between them allowed.
double parse_quantity(std::string_view what, std::string_view text, std::span<const Unit> units,
                      std::string_view example) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  if (error == std::errc() && std::isfinite(value) && value >= 0) {
    if (value == 0 && unit.empty()) return 0;
    for (const Unit& u : units) {
      if (u.name == unit) return value * u.factor;
    }
  }
  fail(ErrorCode::kInvalidArgument, "{} is `{}`, expected a number and a unit such as {}", what,
       text, example);
}

/// `value`, which is 0 or from `least` to `most`; no comparison with NaN holds.
double in_range(std::string_view what, double value, double least, double most,
                std::string_view expected) {
  require(value == 0 || (value >= least && value <= most), ErrorCode::kInvalidArgument,
          "{} is {}, expected 0 or {}", what, value, expected);
  return value;
}
}  // namespace

double parse_bandwidth(std::string_view text) {
  const double value = parse_quantity("bandwidth", text, kBandwidthUnits, "162MB/s or 10Gbit/s");
  require(value > 0, ErrorCode::kInvalidArgument, "bandwidth is `{}`, expected more than 0", text);
  return value;
}

double parse_duration_ms(std::string_view text) {
  return parse_quantity("time", text, kDurationUnits, "0.1ms or 20us");
}

double parse_compute_rate(std::string_view text) {
  const double value = parse_quantity("compute rate", text, kRateUnits, "400GFLOP/s");
  require(value > 0, ErrorCode::kInvalidArgument, "compute rate is `{}`, expected more than 0",
          text);
  return value;
}

std::int64_t bytes_of_gib(std::string_view what, double gib) {
  constexpr double kGiB = 0x1p30;
  return static_cast<std::int64_t>(
      in_range(what, gib, 1024 / kGiB, 0x1p60 / kGiB, "0.000001 to 1e9 GiB") * kGiB);
}

std::chrono::milliseconds time_of_seconds(std::string_view what, double seconds) {
  return std::chrono::milliseconds(
      static_cast<std::int64_t>(in_range(what, seconds, 1e-3, 1e9, "0.001 to 1e9 seconds") * 1e3));
}

double rate_of(std::string_view what, double rate) {
  return in_range(what, rate, 1, 1e18, "1 to 1e18 a second");
}

}  // namespace airlock
