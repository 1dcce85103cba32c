// RMS normalisation: what a Llama layer does before attention and before its MLP.
#pragma once

#include <cstdint>

namespace airlock {

/// out[t][i] = weight[i] * x[t][i] / sqrt(mean(x[t]^2) + eps), as Hugging Face's LlamaRMSNorm in
/// f32. x: [tokens, hidden] f32, weight: [hidden] f32, out: [tokens, hidden] f32, may be x.
/// The sum of squares is kept in f64. Thread-safe.
void rms_norm(const float* x, const float* weight, float eps, std::int64_t tokens,
              std::int64_t hidden, float* out);

}  // namespace airlock
