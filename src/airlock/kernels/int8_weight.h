// Weights as the ring plans know them: int8 with one scale an output channel, derived alike on both
// sides of the link from the checkpoint.
#pragma once

#include <cstdint>
#include <span>

#include "airlock/core/tensor.h"

namespace airlock {

/// Rows [row, row + rows) of `weight` ([out, in] f32, bf16 or f16) as int8: with the row's largest
/// magnitude m, scale = m / 127 in f32 and q = w / scale rounded to nearest, ties to even, within
/// [-127, 127]; a row whose scale is 0 is all 0. `q` is [rows, in], `scales` [rows]. Bit for bit
/// alike on every processor. Throws Error(kInvalidArgument), naming the row, for a weight that is
/// not finite; `weight` may be some rows of a matrix, the first of which is its row `counted_from`.
/// Thread-safe.
void quantize_weight_rows(ConstTensor weight, std::int64_t row, std::int64_t rows,
                          std::span<std::int8_t> q, std::span<float> scales,
                          std::int64_t counted_from = 0);

}  // namespace airlock
