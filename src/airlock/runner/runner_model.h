// What the runner keeps of a model: the configuration, the norms and, by choice of the plan, the
// embedding and the LM head. It never takes these from the worker.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "airlock/core/tensor.h"
#include "airlock/model/checkpoint.h"
#include "airlock/model/config.h"

namespace airlock {

/// Immutable once loaded; any thread may read it.
class RunnerModel {
 public:
  /// Reads the norms. The checkpoint's other tensors stay in its files.
  explicit RunnerModel(std::shared_ptr<const Checkpoint> checkpoint);

  [[nodiscard]] const ModelConfig& config() const noexcept { return checkpoint_->config(); }
  [[nodiscard]] const Checkpoint& checkpoint() const noexcept { return *checkpoint_; }
  /// RMSNorm weights, [hidden] f32.
  [[nodiscard]] const float* input_norm(int layer) const;
  [[nodiscard]] const float* post_norm(int layer) const;
  [[nodiscard]] const float* final_norm() const noexcept { return final_norm_.data(); }
  /// Copies the embedding's rows of `ids` to `out`: [ids, hidden] f32. Throws
  /// Error(kInvalidArgument) for an id outside the vocabulary.
  void embed(std::span<const std::int64_t> ids, float* out) const;

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::vector<std::vector<float>> input_norms_;
  std::vector<std::vector<float>> post_norms_;
  std::vector<float> final_norm_;
};

}  // namespace airlock
