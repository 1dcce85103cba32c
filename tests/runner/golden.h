// The checkpoints with golden logits, and the scale of their logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "airlock/model/checkpoint.h"

namespace airlock::test {

inline std::filesystem::path checkpoint_path(const std::string& name) {
  return std::filesystem::path(AIRLOCK_TEST_DATA) / "checkpoints" / name;
}

/// Bound on a logit: the largest norm of a row of the LM head times that of a normed hidden state.
inline double logit_scale(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  const std::vector<float> head = checkpoint.load_f32(TensorRole::kLmHead);
  double row_norm = 0;
  for (std::int64_t row = 0; row < config.vocab; ++row) {
    double square = 0;
    for (std::int64_t i = 0; i < config.hidden; ++i) {
      const double value = head[static_cast<std::size_t>(row * config.hidden + i)];
      square += value * value;
    }
    row_norm = std::max(row_norm, std::sqrt(square));
  }
  double weight = 0;
  for (const float w : checkpoint.load_f32(TensorRole::kFinalNorm)) {
    weight = std::max(weight, std::abs(static_cast<double>(w)));
  }
  // RMSNorm gives rows of norm at most sqrt(hidden) times its largest weight.
  return row_norm * weight * std::sqrt(static_cast<double>(config.hidden));
}

}  // namespace airlock::test
