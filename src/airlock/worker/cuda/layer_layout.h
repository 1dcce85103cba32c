// Where a layer's matrices lie in its block of device memory: q, k, v without a gap, so that they
// are one matrix to a product, and gate, up likewise. What int8 rows add: scales, and shapes that
// cuBLASLt takes. Knows nothing of CUDA.
#pragma once

#include <array>
#include <cstdint>

#include "airlock/core/dtype.h"
#include "airlock/model/config.h"
#include "airlock/ops/call.h"

namespace airlock::cuda {

/// cuBLASLt's int8 kernels want an inner dimension and a number of outputs of whole 4, at their
/// best whole 16 bytes a row, and refuse fewer than 17 rows of activations: products are padded.
/// What their padding holds only reaches sums that nobody reads, but for inner ones, where weights
/// are 0.
inline constexpr std::int64_t kInt8Columns = 16;
inline constexpr std::int64_t kInt8Tokens = 32;

constexpr std::int64_t padded(std::int64_t count, std::int64_t grain) noexcept {
  return (count + grain - 1) / grain * grain;
}

/// Elements from row to row of a matrix with `in` columns.
constexpr std::int64_t row_stride(std::int64_t in, DType compute) noexcept {
  return compute == DType::kI8 ? padded(in, kInt8Columns) : in;
}

/// A layer's matrices. int8 ones are followed by memory that padding of outputs may read.
struct LayerLayout {
  static constexpr std::int64_t kAlignment = 256;  ///< what cuBLASLt's fastest kernels ask

  std::array<std::int64_t, kWeightCount> offsets{};  ///< bytes, by Weight of layer_matrices()
  /// Of f32, one a row, for int8; of i32 sums of rows for exact products.
  std::array<std::int64_t, kWeightCount> scales{};
  std::int64_t bytes = 0;
};

LayerLayout layer_layout(const ModelConfig& config, DType compute);

/// The LM head, a block of its own.
struct HeadLayout {
  std::int64_t scales = 0;  ///< bytes; for int8, as LayerLayout::scales
  std::int64_t bytes = 0;
};

HeadLayout head_layout(const ModelConfig& config, DType compute);

/// Throws Error(kUnsupported) if sums of so many int8 products can pass what i32 holds.
void check_sums(const ModelConfig& config, DType compute);

/// Weights [first, first + count) of a call's list that are neighbours in one matrix: as many as
/// there are from `first` on.
int adjacent_run(const Weights& weights, int first) noexcept;

}  // namespace airlock::cuda
