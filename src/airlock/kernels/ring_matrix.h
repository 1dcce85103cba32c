// Exact products of field elements with int8 weights: what a worker of the ring plans computes, and
// a runner that makes pads itself.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"

namespace airlock {

struct RingKernel;  // ring_kernel.h

/// A weight [out, in] in int8 (int8_weight.h), laid out for the integer instructions of this
/// processor within core/isa.h's max_isa(). Movable.
struct RingMatrix {
  Buffer data;  ///< panels of 16 outputs, `in` padded to 64 terms, then each output's sum in i32
  std::int64_t in = 0;
  std::int64_t out = 0;
  const RingKernel* kernel = nullptr;  ///< whose layout it is
  [[nodiscard]] std::int64_t bytes() const noexcept {
    return static_cast<std::int64_t>(data.size());
  }
};

/// Most terms of a product: with them every sum is exact on every path.
inline constexpr std::int64_t kMaxRingTerms = 32768;

/// Quantizes and packs `weight` [out, in] f32, bf16 or f16, on all threads. Throws as
/// quantize_weight_rows, and Error(kUnsupported) past kMaxRingTerms.
[[nodiscard]] RingMatrix pack_ring_matrix(const BufferPool& pool, ConstTensor weight);
/// The same for a given kernel: tests force each in turn.
[[nodiscard]] RingMatrix pack_ring_matrix(const BufferPool& pool, ConstTensor weight,
                                          const RingKernel& kernel);

/// One product of ring_multiply: out [rows, w->out], dense.
struct RingOutput {
  const RingMatrix* w = nullptr;
  void* out = nullptr;
};

/// out [rows, w->out] = x [rows, w->in] w^T mod p for every product, exactly, whatever the
/// processor and the number of threads; as one parallel loop, with x taken apart once. x:
/// DType::kRing (elements below p; others count modulo p) or DType::kI16; out: DType::kRing, or
/// DType::kRing16 (math/field.h). All dense. Scratch comes from `pool` and goes back: a few times
/// x, up to 64 MiB. Throws Error(kInternal) for other dtypes or products that differ in inputs.
/// Thread-safe.
void ring_multiply(const BufferPool& pool, std::span<const RingOutput> products, DType x_dtype,
                   const void* x, std::int64_t rows, DType out_dtype);
/// The same of one.
void ring_multiply(const BufferPool& pool, const RingMatrix& w, DType x_dtype, const void* x,
                   std::int64_t rows, DType out_dtype, void* out);

/// The instructions that ring_multiply uses here: "amx_int8", "avx512_vnni", "avx2", "portable".
[[nodiscard]] std::string ring_isa();

}  // namespace airlock
