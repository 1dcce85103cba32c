// Gives a backend the weights of a checkpoint's files, each in memory of its own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "airlock/model/checkpoint.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

/// Throws as Checkpoint::load does. What is not released stays loaded: the embedding, where a
/// backend takes it, and matrices that are read as they are stored.
class CheckpointSource final : public WeightSource {
 public:
  explicit CheckpointSource(std::shared_ptr<const Checkpoint> checkpoint)
      : checkpoint_(std::move(checkpoint)) {}

  [[nodiscard]] const ModelConfig& config() const override { return checkpoint_->config(); }
  using WeightSource::tensor;
  [[nodiscard]] ConstTensor tensor(Weight weight, int layer) override;
  [[nodiscard]] TensorSpec spec(Weight weight, int layer) override {
    return checkpoint_->spec(weight, layer);
  }
  void release(ConstTensor tensor) override;

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::map<std::int64_t, LoadedTensor> loaded_;  ///< by place in the checkpoint's table
  std::optional<std::int64_t> embedding_;        ///< its place, once a backend has it
};

}  // namespace airlock
