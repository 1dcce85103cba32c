// Matmul: batched products of activations.
#pragma once

#include "airlock/worker/cpu/context.h"

namespace airlock {

/// out [batch, m, n] = a [batch, m, k] times b, which is [batch, k, n], or [batch, n, k] if
/// `transpose_b`. Any float dtypes.
void matmul(CpuContext& context, ConstTensor a, ConstTensor b, bool transpose_b, Tensor out);

}  // namespace airlock
