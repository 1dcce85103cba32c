// Log-probabilities of tokens: the log-softmax of the logits as the model gave them, before
// penalties and temperature, as transformers and the OpenAI API give them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace airlock {

/// Alternatives that may be asked for with a token, at most: the OpenAI API's limit.
inline constexpr int kMaxTopLogprobs = 20;

struct TokenLogprob {
  std::int64_t token = 0;
  double logprob = 0;  ///< natural logarithm; minus infinity where the logit is
};

struct Logprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  ///< the likeliest first; of equals the lower id
};

/// Of `token` and of the `top` likeliest tokens (all of a smaller vocabulary). logits: [vocab] f32;
/// sums are in double. `out` keeps its memory between calls. Throws Error(kInternal) unless 0 <=
/// token < vocab and 0 <= top <= kMaxTopLogprobs, Error(kProtocol) if a logit is NaN.
void compute_logprobs(std::span<const float> logits, std::int64_t token, int top, Logprobs& out);

}  // namespace airlock
