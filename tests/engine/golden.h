// The checkpoints with golden logits, the scale of their logits and how far rounding takes them.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "airlock/model/checkpoint.h"
#include "airlock/model/safetensors.h"

#include "tests/support/paths.h"

namespace airlock::testing {

/// The tensors of a file of goldens, all loaded.
class GoldenTensors {
 public:
  explicit GoldenTensors(const std::filesystem::path& path) {
    const SafetensorsFile file = SafetensorsFile::open(path);
    for (const SafetensorsEntry& entry : file.entries()) {
      tensors_.emplace(entry.name, file.load(entry));
    }
  }
  [[nodiscard]] bool has(const std::string& name) const { return tensors_.contains(name); }
  [[nodiscard]] ConstTensor at(const std::string& name) const { return tensors_.at(name).view(); }

 private:
  std::map<std::string, LoadedTensor> tensors_;
};

inline std::filesystem::path checkpoint_path(const std::string& name) {
  return data_dir() / "checkpoints" / name;
}

/// Bound on a logit: the largest norm of a row of the LM head times that of a normed hidden state.
inline double logit_scale(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  const std::vector<float> head = checkpoint.load_f32(Weight::kLmHead);
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
  for (const float w : checkpoint.load_f32(Weight::kFinalNorm)) {
    weight = std::max(weight, std::abs(static_cast<double>(w)));
  }
  // RMSNorm gives rows of norm at most sqrt(hidden) times its largest weight.
  return row_norm * weight * std::sqrt(static_cast<double>(config.hidden));
}

/// Bound on |ours - transformers'| in f32. A product over K terms errs by about sqrt(K) u relative
/// to the norms of its operands (Higham and Mary 2019, probabilistic rounding error analysis, with
/// u = 2^-24), and so do the sums of RMSNorm and softmax. Errors of independent steps would add in
/// quadrature; adding them up linearly along the longest path leaves room for what layers amplify.
/// Both implementations err, hence twice.
inline double logit_bound(const Checkpoint& checkpoint, std::int64_t context) {
  const ModelConfig& c = checkpoint.config();
  const auto root = [](std::int64_t k) { return std::sqrt(static_cast<double>(k)); };
  const double norm = root(c.hidden);
  const double attention = root(c.hidden) + root(c.head_dim) + 2 * root(context) + root(c.q_dim());
  const double mlp = root(c.hidden) + root(c.ffn);
  const double path =
      static_cast<double>(c.layers) * (2 * norm + attention + mlp) + norm + root(c.hidden);
  return 2 * path * 0x1p-24 * logit_scale(checkpoint);
}

}  // namespace airlock::testing
