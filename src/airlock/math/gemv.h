// Products of a few rows with weights as checkpoints store them: what a decoding step waits for,
// and as fast as memory gives the weights.
#pragma once

#include <cstdint>
#include <span>

#include "airlock/core/tensor.h"

namespace airlock {

/// One product of gemv: w [outputs, inputs] is f32, bf16 or f16, dense, aligned to its element; out
/// is [rows, outputs] f32.
struct GemvProduct {
  ConstTensor w;
  float* out = nullptr;
};

/// out = x [rows, inputs] f32 times w transposed, for every product, as one parallel loop: waking
/// threads for each would cost as much as a small one. Each weight is fetched once and widened
/// exactly; sums are f32. A row of `out` is the same bits whatever rows and products come with it
/// and however many threads there are. Any number of rows is right, few are fast. Throws
/// Error(kInternal) for another dtype or products that differ in inputs. Thread-safe.
void gemv(const float* x, std::int64_t rows, std::span<const GemvProduct> products);

}  // namespace airlock
