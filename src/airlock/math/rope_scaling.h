// The parameters of Llama 3.1's RoPE scaling, shared by the configuration and the kernel.
#pragma once

#include <cstdint>

namespace airlock {

/// Stretching of RoPE frequencies for long contexts: config.json's rope_scaling of rope_type
/// "llama3".
struct Llama3RopeScaling {
  double factor = 8.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  std::int64_t original_max_position = 8192;  ///< original_max_position_embeddings, in tokens
  friend bool operator==(const Llama3RopeScaling&, const Llama3RopeScaling&) = default;
};

}  // namespace airlock
