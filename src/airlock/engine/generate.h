// From a prompt to its continuation: prefill, then one token at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "airlock/engine/sampler.h"
#include "airlock/runner/executor.h"

namespace airlock {

struct GenerateOptions {
  std::int64_t max_tokens = 64;  ///< tokens to generate at most; 0: prefill only
  SamplingOptions sampling;
  bool ignore_eos = false;
  /// Called with each token as it is chosen; false ends the generation.
  std::function<bool(std::int64_t token)> on_token;
};

struct Generation {
  std::vector<std::int64_t> tokens;  ///< generated, a closing eos included
  double prefill_ms = 0;             ///< until the first token's logits
  double decode_ms = 0;              ///< of the further passes
};

/// Runs `prompt` and continues it until an eos token, `max_tokens`, or the model's context is full.
/// Throws Error(kInvalidArgument) for an empty prompt or one longer than the context, and what
/// Executor::run and Sampler::sample throw.
Generation generate(Executor& executor, const ModelConfig& config,
                    std::span<const std::int64_t> prompt, const GenerateOptions& options);

}  // namespace airlock
