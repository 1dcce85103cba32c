// Products with weights: BatchLinear, LMHead and the projections inside blocks.
#pragma once

#include <span>

#include "airlock/worker/cpu/context.h"
#include "airlock/worker/cpu/weights.h"

namespace airlock {

/// outputs[i] = x w[i]^T. x: [tokens, in] in any float dtype, converted once; outputs: [tokens,
/// out of w[i]] in any float dtype.
void linear(CpuContext& context, ConstTensor x, std::span<const WeightMatrix* const> w,
            std::span<const Tensor> outputs);

}  // namespace airlock
