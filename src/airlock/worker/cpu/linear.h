// Products with weights: BatchLinear, LMHead and the projections inside blocks.
#pragma once

#include <span>

#include "airlock/worker/cpu/context.h"
#include "airlock/worker/cpu/weights.h"

namespace airlock {

/// outputs[i] = x w[i]^T. x: [tokens, in] in any float dtype, converted once; outputs: [tokens,
/// w[i].out] in any float dtype.
void linear(CpuContext& context, ConstTensor x, std::span<const PackedMatrix* const> w,
            std::span<const Tensor> outputs);

}  // namespace airlock
