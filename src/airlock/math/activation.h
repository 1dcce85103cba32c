// The gated MLP's activation: SiLU(gate) * up.
#pragma once

#include <cstdint>

#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"

namespace airlock {

/// out[i] = gate[i] / (1 + exp(-gate[i])) * up[i] over `count` contiguous f32 elements, e.g. whole
/// [tokens, ffn] tensors. `out` may be `gate` or `up`. Relative error below 8 units of 2^-24;
/// below gate = -87.3, where sigmoid leaves the normal range, results may flush to zero.
/// Thread-safe.
void silu_mul(const float* gate, const float* up, std::int64_t count, float* out);
/// The same on bf16, computed in f32 and rounded once.
void silu_mul(const BF16* gate, const BF16* up, std::int64_t count, BF16* out);
/// The same on tensors of one shape and one dtype, f32, bf16 or f16. Throws Error(kInvalidArgument)
/// for others.
void silu_mul(const ConstTensor& gate, const ConstTensor& up, const Tensor& out);

/// The same on rows: [tokens, ffn] each, whose rows start `gate_stride`, `up_stride` and
/// `out_stride` elements apart (e.g. gate and up side by side in one tensor).
void silu_mul_rows(const float* gate, std::int64_t gate_stride, const float* up,
                   std::int64_t up_stride, std::int64_t tokens, std::int64_t ffn, float* out,
                   std::int64_t out_stride);
void silu_mul_rows(const BF16* gate, std::int64_t gate_stride, const BF16* up,
                   std::int64_t up_stride, std::int64_t tokens, std::int64_t ffn, BF16* out,
                   std::int64_t out_stride);

}  // namespace airlock
