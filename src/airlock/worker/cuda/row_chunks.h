// How a call's rows are cut, so that copies in, kernels and copies out of different pieces overlap.
// Knows nothing of CUDA.
#pragma once

#include <algorithm>
#include <cstdint>

namespace airlock::cuda {

/// Rows [begin, begin + count).
struct RowChunk {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

/// Cuts `rows` into pieces of equal length (the last may be shorter) whose bytes, in and out
/// together, keep a bus busy for long against a copy's fixed cost: 8 MiB take 160 us at 50 GB/s, a
/// copy's start some 5 us. Lengths are multiples of `grain`, by default the tile of a product.
class RowChunks {
 public:
  static constexpr std::int64_t kBytes = std::int64_t{8} << 20;
  static constexpr std::int64_t kGrain = 128;

  /// rows, bytes_per_row and grain are at least 1.
  RowChunks(std::int64_t rows, std::int64_t bytes_per_row, std::int64_t grain = kGrain)
      : rows_(rows) {
    const std::int64_t wanted = std::max<std::int64_t>(kBytes / bytes_per_row, 1);
    each_ = std::min((wanted + grain - 1) / grain * grain, rows);
  }

  [[nodiscard]] std::int64_t count() const { return (rows_ + each_ - 1) / each_; }
  [[nodiscard]] RowChunk operator[](std::int64_t i) const {
    return {i * each_, std::min(each_, rows_ - i * each_)};
  }

 private:
  std::int64_t rows_;
  std::int64_t each_ = 1;
};

}  // namespace airlock::cuda
