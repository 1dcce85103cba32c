// Softmax over attention scores under the causal mask.
#pragma once

#include <cstdint>

#include "airlock/core/tensor.h"

namespace airlock {

/// In place on scores: [heads, tokens, context] f32, bf16 or f16: row i of each head becomes
/// softmax(scale * scores[i][0 .. position + i]) and 0 after it; `position` tokens were in the
/// cache before these. Arithmetic is f32, rounded once. A row's maximum is subtracted first; exp is
/// within 2 ulp (simd.inc). A row whose scores contain NaN or +infinity becomes NaN in its attended
/// part, as in torch.
/// Throws Error(kInvalidArgument) unless 0 <= position, position + tokens <= context, scale is
/// finite and not negative and the tensor is of such a shape and dtype. Thread-safe.
void causal_softmax(const Tensor& scores, std::int64_t position, float scale);

}  // namespace airlock
