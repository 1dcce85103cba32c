#include "airlock/worker/checkpoint_source.h"

#include <array>

namespace airlock {

ConstTensor CheckpointSource::layer_weight(int layer, Weight weight) {
  constexpr std::array<TensorRole, kWeightCount> kRoles = {
      TensorRole::kQ,    TensorRole::kK,  TensorRole::kV,   TensorRole::kO,
      TensorRole::kGate, TensorRole::kUp, TensorRole::kDown};
  return checkpoint_->tensor(kRoles.at(static_cast<std::size_t>(weight)), layer);
}

}  // namespace airlock
