// Normal numbers from a counter: the value of a weight depends on the seed, the tensor's name and
// the weight's index only, so any thread can make any piece. Inside the model room only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "airlock/core/dtype.h"

namespace airlock {

/// Normal distribution in one of the dtypes f32, bf16 and f16, as a table of 65536 equally likely
/// values (the quantiles at (k + 1/2) / 65536; the extremes lie 4.3 deviations out). Immutable.
class NormalTable {
 public:
  NormalTable(DType dtype, double mean, double deviation);

  /// Writes values [first, first + out.size() / dtype size) of the stream `key`; `first` is a
  /// multiple of 4, as are all pieces' lengths but the last. The stream is SplitMix64 (Steele, Lea,
  /// Flood 2014) in counter form: 64 bits for four values.
  void fill(std::uint64_t key, std::int64_t first, std::span<std::byte> out) const noexcept;

 private:
  DType dtype_;
  std::vector<std::uint32_t> wide_;    // f32
  std::vector<std::uint16_t> narrow_;  // bf16, f16
};

/// The stream of a tensor.
std::uint64_t stream_key(std::uint64_t seed, std::string_view tensor) noexcept;

/// Inverse of the standard normal distribution function for p in (0, 1), by Acklam's rational
/// approximation (relative error below 1.2e-9).
double normal_quantile(double p) noexcept;

}  // namespace airlock
