#include "airlock/kernels/int8_weight.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/math/convert.h"

namespace airlock {
namespace {

constexpr std::uint32_t kInfinity = 0x7f800000U;

/// Bits of the largest magnitude: as integers they are in the order of the magnitudes, with
/// infinities and NaN above all.
std::uint32_t largest_bits(const float* row, std::int64_t count) {
  std::uint32_t most = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    most = std::max(most, std::bit_cast<std::uint32_t>(row[i]) & 0x7fffffffU);
  }
  return most;
}

void quantize_row(const float* row, std::int64_t count, float scale, std::int8_t* q) {
  // Adding and taking away 1.5 * 2^23 rounds to nearest, ties to even: alike everywhere.
  constexpr float kRound = 12582912.0F;
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = std::clamp(row[i] / scale, -127.0F, 127.0F);
    q[i] = static_cast<std::int8_t>(static_cast<std::int32_t>((value + kRound) - kRound));
  }
}

}  // namespace

void quantize_weight_rows(ConstTensor weight, std::int64_t row, std::int64_t rows,
                          std::span<std::int8_t> q, std::span<float> scales) {
  const std::int64_t columns = weight.spec.shape[1];
  require(row >= 0 && rows >= 0 && row + rows <= weight.spec.shape[0] &&
              static_cast<std::int64_t>(q.size()) >= rows * columns &&
              static_cast<std::int64_t>(scales.size()) >= rows,
          ErrorCode::kInternal, "rows {} to {} of a weight {}", row, row + rows, weight.spec.shape);
  std::vector<float> wide(static_cast<std::size_t>(columns));
  const std::size_t element = dtype_size(weight.spec.dtype);
  for (std::int64_t i = 0; i < rows; ++i) {
    convert_elements(weight.spec.dtype,
                     weight.data + static_cast<std::size_t>((row + i) * columns) * element,
                     DType::kF32, wide.data(), columns);
    const std::uint32_t largest = largest_bits(wide.data(), columns);
    require(largest < kInfinity, ErrorCode::kInvalidArgument,
            "row {} of a weight has a value that is not finite", row + i);
    const float scale = std::bit_cast<float>(largest) / 127.0F;
    scales[static_cast<std::size_t>(i)] = scale;
    std::int8_t* const to = q.data() + i * columns;
    if (scale == 0) {
      std::fill_n(to, columns, std::int8_t{0});
    } else {
      quantize_row(wide.data(), columns, scale, to);
    }
  }
}

}  // namespace airlock
