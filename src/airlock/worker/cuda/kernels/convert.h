// Conversions between element types, int8 rows with their scales included, as math/convert.h; and
// of what products of int8 rows leave.
#pragma once

#include <cmath>
#include <cstdint>

#include "airlock/worker/cuda/kernels/block.h"
#include "airlock/worker/cuda/kernels/element.h"

namespace airlock::cuda {

/// [rows, columns] whose rows start `stride` elements apart. `scales`: one a row, for int8.
struct ConvertArgs {
  const void* from = nullptr;
  std::int64_t from_stride = 0;
  const float* from_scales = nullptr;
  void* to = nullptr;
  std::int64_t to_stride = 0;
  float* to_scales = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// One float type to another. Grid: grid_over(rows, columns).
template <typename From, typename To>
AIRLOCK_HD void convert_block(const ConvertArgs& args, const BlockId& block) {
  const auto* from = static_cast<const From*>(args.from);
  auto* to = static_cast<To*>(args.to);
  for_each_element(block, args.rows, args.columns, [&](std::int64_t row, std::int64_t column) {
    to[row * args.to_stride + column] =
        from_float<To>(to_float(from[row * args.from_stride + column]));
  });
}

/// int8 rows to floats. Grid: grid_over(rows, columns).
template <typename To>
AIRLOCK_HD void dequantize_block(const ConvertArgs& args, const BlockId& block) {
  const auto* from = static_cast<const std::int8_t*>(args.from);
  auto* to = static_cast<To*>(args.to);
  for_each_element(block, args.rows, args.columns, [&](std::int64_t row, std::int64_t column) {
    const auto element = static_cast<float>(from[row * args.from_stride + column]);
    to[row * args.to_stride + column] = from_float<To>(element * args.from_scales[row]);
  });
}

/// Sums [rows, columns] of products of int8 rows, and the scales of the rows multiplied: x's one a
/// row, w's one a column.
struct SumsArgs {
  const std::int32_t* sums = nullptr;
  std::int64_t sums_stride = 0;
  const float* row_scales = nullptr;
  const float* column_scales = nullptr;
  void* to = nullptr;
  std::int64_t to_stride = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// Sums to floats. Grid: grid_over(rows, columns).
template <typename To>
AIRLOCK_HD void scale_sums_block(const SumsArgs& args, const BlockId& block) {
  auto* to = static_cast<To*>(args.to);
  for_each_element(block, args.rows, args.columns, [&](std::int64_t row, std::int64_t column) {
    const auto sum = static_cast<float>(args.sums[row * args.sums_stride + column]);
    to[row * args.to_stride + column] =
        from_float<To>(sum * args.row_scales[row] * args.column_scales[column]);
  });
}

/// Grid of quantize_block: a row per block, looping past kMaxGridY rows.
AIRLOCK_HD Grid grid_of_rows(std::int64_t rows) {
  Grid grid;
  grid.y = static_cast<int>(rows < kMaxGridY ? rows : kMaxGridY);
  grid.shared_bytes = kRowThreads * sizeof(float);
  return grid;
}

/// Float rows to int8 and their scales. shared: [kRowThreads].
template <typename From>
AIRLOCK_HD void quantize_block(const ConvertArgs& args, const BlockId& block, float* shared) {
  constexpr float kLargestFinite = 3.40282347e38F;
  for (std::int64_t row = block.y; row < args.rows; row += block.grid_y) {
    const From* from = static_cast<const From*>(args.from) + row * args.from_stride;
    std::int8_t* to = static_cast<std::int8_t*>(args.to) + row * args.to_stride;
    phase(kRowThreads, [&](int thread) {
      float top = 0;
      for (std::int64_t column = thread; column < args.columns; column += kRowThreads) {
        const float magnitude = fabsf(to_float(from[column]));
        if (magnitude <= kLargestFinite) top = fmaxf(top, magnitude);
      }
      shared[thread] = top;
    });
    reduce(shared, [](float a, float b) { return fmaxf(a, b); });
    phase(kRowThreads, [&](int thread) {
      const float scale = shared[0] / 127.0F;
      if (thread == 0) args.to_scales[row] = scale;
      for (std::int64_t column = thread; column < args.columns; column += kRowThreads) {
        const float quotient = to_float(from[column]) / scale;
        const float number = quotient == quotient ? quotient : 0.0F;
        to[column] = static_cast<std::int8_t>(rintf(fminf(fmaxf(number, -127.0F), 127.0F)));
      }
    });
  }
}

}  // namespace airlock::cuda
