// Softmax over attention scores under the causal mask.
#pragma once

#include <cstdint>

namespace airlock {

/// In place on scores: [heads, tokens, context] f32: row i of each head becomes
/// softmax(scale * scores[i][0 .. position + i]) and 0 after it; `position` tokens were in the
/// cache before these. A row's maximum is subtracted first; exp is within 2 ulp (simd_exp-inl.h).
/// A row whose scores contain NaN or +infinity becomes NaN in its attended part, as in torch.
/// Throws Error(kInvalidArgument) unless 0 <= position, position + tokens <= context and scale is
/// finite and not negative. Thread-safe.
void causal_softmax(float* scores, std::int64_t heads, std::int64_t tokens, std::int64_t context,
                    std::int64_t position, float scale);

}  // namespace airlock
