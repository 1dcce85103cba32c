// Models of given counts.
#pragma once

#include <array>
#include <cstdint>

#include "airlock/model/config.h"

namespace airlock::testing {

/// layers, hidden, heads, kv_heads, head_dim, ffn, vocab, max_position; the rest has its defaults.
inline ModelConfig counted_config(const std::array<std::int64_t, 8>& counts) {
  ModelConfig config;
  config.layers = counts[0];
  config.hidden = counts[1];
  config.heads = counts[2];
  config.kv_heads = counts[3];
  config.head_dim = counts[4];
  config.ffn = counts[5];
  config.vocab = counts[6];
  config.max_position = counts[7];
  return config;
}

/// A small model whose dimensions are all different.
inline ModelConfig odd_model() {
  return counted_config({3, 40, 6, 2, 10, 91, 257, 4096});
}

inline ModelConfig llama_1b() {
  return counted_config({16, 2048, 32, 8, 64, 8192, 128256, 131072});
}

}  // namespace airlock::testing
