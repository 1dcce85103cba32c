// Elementwise arithmetic: the residual stream's additions.
#pragma once

#include <cstdint>

#include "airlock/core/dtype.h"

namespace airlock {

/// x[i] += y[i] over `count` f32 elements. Thread-safe.
void add(float* x, const float* y, std::int64_t count);
/// The same with y in bf16 (what a bf16 wire brought), widened exactly.
void add(float* x, const BF16* y, std::int64_t count);

}  // namespace airlock
