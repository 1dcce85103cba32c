// One weight as products read it: packed by oneDNN, or where the checkpoint stores it.
#pragma once

#include <cstdint>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"
#include "airlock/kernels/gemm.h"

namespace airlock {

/// A weight [out, in], in one of two forms.
struct WeightMatrix {
  PackedMatrix packed;  ///< empty if `stored`
  ConstTensor stored;   ///< [out, in] in f32, bf16 or f16, not owned; data is null if packed

  /// Bytes that a product reads.
  [[nodiscard]] std::int64_t bytes() const {
    return stored.data != nullptr ? stored.bytes() : packed.bytes();
  }
};

/// True if weights are worth packing: where the processor multiplies bf16. Elsewhere products are
/// f32, twice the bytes of most checkpoints, and oneDNN's layout for them is no more than the
/// transposed matrix. Measured with AVX2: the stored rows, widened on the way, are as fast at 1024
/// tokens and twice as fast at one, need no copy and no minutes of packing.
[[nodiscard]] bool packs_weights();

/// `weight` [out, in], f32, bf16 or f16, for products in `compute`: packed into it, or, unless
/// packs_weights(), a view of `weight`, which must outlive the result.
[[nodiscard]] WeightMatrix prepare_weight(Gemm& gemm, ConstTensor weight, DType compute);

/// out [rows, out] = x [rows, in] w^T, x in the dtype w was prepared for, out in `out_dtype` for
/// which Gemm::can_write. Working memory comes from `pool` and goes back.
void multiply(Gemm& gemm, const BufferPool& pool, const void* x, std::int64_t rows,
              const WeightMatrix& w, DType out_dtype, void* out);

/// True if products of so many rows with `w` are made by gemv, several of them best at once.
[[nodiscard]] bool by_gemv(const WeightMatrix& w, std::int64_t rows);

}  // namespace airlock
