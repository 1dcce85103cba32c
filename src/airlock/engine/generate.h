// From a prompt to its continuation: prefill, then one token at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "airlock/engine/text_generation.h"
#include "airlock/runner/executor.h"

namespace airlock {

struct Generation {
  double prefill_ms = 0;  ///< until the first token's logits
  double decode_ms = 0;   ///< of the further passes
};

/// Runs `prompt`, the one that `text` was made for, and continues it until `text` has finished;
/// `on_token` takes each token. Throws what Executor::run, TextGeneration::push and `on_token`
/// throw.
Generation generate(Executor& executor, std::span<const std::int64_t> prompt, TextGeneration& text,
                    const std::function<void(const GeneratedToken&)>& on_token);

}  // namespace airlock
