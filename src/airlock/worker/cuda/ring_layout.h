// Exact products as a GPU makes them: their weights, and the memory that digits and sums take
// (kernels/ring.h). Knows nothing of CUDA: every build tests it.
#pragma once

#include <cstdint>

#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"
#include "airlock/model/config.h"
#include "airlock/worker/cuda/layer_layout.h"
#include "airlock/worker/cuda/row_chunks.h"

namespace airlock::cuda {

/// Digits of an element that travels as `x`: kRing or kI16.
constexpr std::int64_t ring_digits(DType x) noexcept {
  return x == DType::kI16 ? 2 : 4;
}

/// What pieces of a call are multiples of: each row becomes a row of the product per digit.
constexpr std::int64_t ring_grain(DType x) noexcept {
  return RowChunks::kGrain / ring_digits(x);
}

/// Shape of the int8 product [rows, stride] x [columns, stride] that makes `rows` rows of `x`
/// times a weight [out, in], padded as kInt8Tokens and kInt8Columns say.
struct RingShape {
  std::int64_t rows = 0;
  std::int64_t stride = 0;
  std::int64_t columns = 0;

  RingShape(DType x, std::int64_t x_rows, std::int64_t in, std::int64_t out)
      : rows(padded(x_rows * ring_digits(x), kInt8Tokens)),
        stride(row_stride(in, DType::kI8)),
        columns(padded(out, kInt8Columns)) {}

  [[nodiscard]] std::int64_t digit_bytes() const noexcept { return rows * stride; }
  [[nodiscard]] std::int64_t sum_count() const noexcept { return rows * columns; }
};

/// Bytes on the device of a RingLinear of `tokens` rows of kRing times a weight [out, in]: rows in
/// and out, and digits and sums of one piece.
std::int64_t ring_call_bytes(std::int64_t tokens, std::int64_t in, std::int64_t out);

/// Throws Error(kUnsupported) if a matrix of `config` has more inputs than kMaxRingTerms, within
/// which sums of digits are exact.
void check_ring_terms(const ModelConfig& config);

/// Rows [row, row + rows) of `weight` ([out, in] f32, bf16 or f16) as quantize_weight_rows
/// (kernels/int8_weight.h) makes them, on threads(): `q` [rows, in], and `sums` [rows] of each
/// row's elements. Throws as that does.
void make_ring_rows(ConstTensor weight, std::int64_t row, std::int64_t rows, std::int8_t* q,
                    std::int32_t* sums);

}  // namespace airlock::cuda
