// Products of a few rows with weights as checkpoints store them: what a decoding step waits for,
// and as fast as memory gives the weights.
#pragma once

#include <cstdint>

#include "airlock/core/tensor.h"

namespace airlock {

/// out [rows, outputs] f32 = x [rows, inputs] f32 times w [outputs, inputs] transposed. w is f32,
/// bf16 or f16, dense, aligned to its element; each weight is fetched once and widened exactly;
/// sums are f32. A row of `out` is the same bits whatever rows come with it and however many
/// threads there are. Any number of rows is right, few are fast. Throws Error(kInternal) for
/// another dtype. Thread-safe.
void gemv(const float* x, std::int64_t rows, ConstTensor w, float* out);

}  // namespace airlock
