// Gives a backend the weights of a checkpoint's mapped files.
#pragma once

#include <memory>

#include "airlock/model/checkpoint.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

class CheckpointSource final : public WeightSource {
 public:
  explicit CheckpointSource(std::shared_ptr<const Checkpoint> checkpoint)
      : checkpoint_(std::move(checkpoint)) {}

  [[nodiscard]] const ModelConfig& config() const override { return checkpoint_->config(); }
  using WeightSource::tensor;
  [[nodiscard]] ConstTensor tensor(Weight weight, int layer) override {
    return checkpoint_->tensor(weight, layer);
  }
  void release(ConstTensor tensor) override { checkpoint_->drop_pages(tensor); }
  void keep(ConstTensor tensor) override { checkpoint_->will_need(tensor); }

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
};

}  // namespace airlock
