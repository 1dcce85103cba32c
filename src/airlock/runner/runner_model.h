// What the runner keeps of a model: the configuration, the norms and, by choice of the plan, the
// embedding and the LM head. It never takes these from the worker.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "airlock/core/tensor.h"
#include "airlock/model/checkpoint.h"
#include "airlock/model/config.h"
#include "airlock/model/tensor_table.h"
#include "airlock/runner/lm_head.h"

namespace airlock {

/// Any thread may use it.
class RunnerModel {
 public:
  /// Reads the norms. The checkpoint's other tensors stay in its files until they are asked for.
  explicit RunnerModel(std::shared_ptr<const Checkpoint> checkpoint);

  [[nodiscard]] const ModelConfig& config() const noexcept { return checkpoint_->config(); }
  [[nodiscard]] const Checkpoint& checkpoint() const noexcept { return *checkpoint_; }
  /// The weights of an RMSNorm, [hidden] f32; kNoLayer for the final one.
  [[nodiscard]] const float* norm(Weight weight, int layer) const;
  /// The LM head for products in `dtype`, loaded when first asked for and then shared. Throws as
  /// load_lm_head does.
  [[nodiscard]] std::shared_ptr<const LmHeadMatrix> lm_head(DType dtype) const;
  /// The embedding, [vocab, hidden] as stored, loaded when first asked for and then kept: looking
  /// rows up in a file would show its host which ids they are. Throws as Checkpoint::load does.
  [[nodiscard]] ConstTensor embedding() const;
  /// Copies the embedding's rows of `ids` to `out`: [ids, hidden] f32. The ids are of the
  /// vocabulary, which Executor::run has checked of all it is given.
  void embed(std::span<const std::int64_t> ids, float* out) const;

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  TensorTable tensors_;
  std::vector<std::vector<float>> norms_;  ///< by place in the model's tensor table; else empty
  mutable std::once_flag embedding_once_;
  mutable LoadedTensor embedding_;
  mutable std::mutex lm_heads_mutex_;
  mutable std::map<DType, std::shared_ptr<const LmHeadMatrix>> lm_heads_;
};

}  // namespace airlock
