// The gated MLP's activation: SiLU(gate) * up.
#pragma once

#include "airlock/core/tensor.h"

namespace airlock {

/// out[i] = gate[i] / (1 + exp(-gate[i])) * up[i] over tensors of one shape and one dtype, e.g.
/// [tokens, ffn]: f32, bf16 or f16, computed in f32 and rounded once. `out` may be `gate` or `up`.
/// Relative error of f32 below 8 units of 2^-24; below gate = -87.3, where sigmoid leaves the
/// normal range, results may flush to zero. Throws Error(kInvalidArgument) for other tensors.
/// Thread-safe.
void silu_mul(const ConstTensor& gate, const ConstTensor& up, const Tensor& out);

}  // namespace airlock
