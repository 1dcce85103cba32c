// Exact products of field elements with int8 weights: what a worker of the ring plans computes, and
// a runner that makes pads itself.
#pragma once

#include <cstdint>
#include <string>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"

namespace airlock {

struct RingKernel;

/// A weight [out, in] in int8 (int8_weight.h), laid out for the integer instructions of this
/// processor within core/isa.h's max_isa(): panels of 16 outputs, then the sums of their weights.
struct RingMatrix {
  Buffer data;
  std::int64_t in = 0;
  std::int64_t out = 0;
  [[nodiscard]] std::int64_t bytes() const noexcept {
    return static_cast<std::int64_t>(data.size());
  }
};

/// Most terms of a product: with them every sum is exact on every path.
inline constexpr std::int64_t kMaxRingTerms = 32768;

/// Quantizes and packs `weight` [out, in] f32, bf16 or f16. Throws as quantize_weight_rows, and
/// Error(kUnsupported) past kMaxRingTerms.
[[nodiscard]] RingMatrix pack_ring_matrix(const BufferPool& pool, ConstTensor weight);

/// out [rows, w.out] = x [rows, w.in] w^T mod p, exactly, whatever the processor and the number of
/// threads. x: DType::kRing (any 32 bits, which count modulo p) or DType::kI16; out:
/// DType::kRing, or DType::kRing16 (math/field.h). Both dense. Scratch comes from `pool`.
void ring_multiply(const BufferPool& pool, const RingMatrix& w, DType x_dtype, const void* x,
                   std::int64_t rows, DType out_dtype, void* out);

/// The same by a kernel of one's choice (ring_kernel.h).
void ring_multiply(const RingKernel& kernel, const BufferPool& pool, const RingMatrix& w,
                   DType x_dtype, const void* x, std::int64_t rows, DType out_dtype, void* out);

/// The instructions that ring_multiply uses here: "avx512_vnni", "avx2", "portable".
[[nodiscard]] std::string ring_isa();

}  // namespace airlock
