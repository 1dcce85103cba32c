// GatedMlp: a layer's whole MLP in one call.
#pragma once

#include "airlock/worker/cpu/context.h"
#include "airlock/worker/cpu/weights.h"

namespace airlock {

/// out [tokens, hidden] = (SiLU(x gate^T) * x up^T) down^T of normed x [tokens, hidden]; any float
/// dtypes. gate and up are rounded to the compute dtype, as their product must be anyway.
void gated_mlp(CpuContext& context, const CpuWeights& weights, int layer, ConstTensor x,
               Tensor out);

}  // namespace airlock
