#include "airlock/worker/cuda/layer_layout.h"

#include "airlock/remote/rules.h"

namespace airlock::cuda {

bool adjacent(Weight weight, Weight next) noexcept {
  return (weight == Weight::kQ && next == Weight::kK) ||
         (weight == Weight::kK && next == Weight::kV) ||
         (weight == Weight::kGate && next == Weight::kUp);
}

LayerLayout layer_layout(const ModelConfig& config, DType compute) {
  LayerLayout layout;
  const auto element = static_cast<std::int64_t>(dtype_size(compute));
  for (int i = 0; i < kWeightCount; ++i) {
    const auto weight = static_cast<Weight>(i);
    if (i == 0 || !adjacent(static_cast<Weight>(i - 1), weight)) {
      layout.bytes = (layout.bytes + LayerLayout::kAlignment - 1) / LayerLayout::kAlignment *
                     LayerLayout::kAlignment;
    }
    layout.offsets[static_cast<std::size_t>(i)] = layout.bytes;
    layout.bytes += weight_shape(config, weight).elements() * element;
  }
  return layout;
}

int adjacent_run(const Weights& weights, int first) noexcept {
  int count = 1;
  while (first + count < weights.size() &&
         adjacent(weights[first + count - 1], weights[first + count])) {
    ++count;
  }
  return count;
}

}  // namespace airlock::cuda
