#include "airlock/worker/cpu/weights.h"

#include <utility>

namespace airlock {
std::int64_t CpuWeights::bytes() const {
  std::int64_t total = lm_head.bytes();
  for (const Layer& layer : layers) {
    for (const WeightMatrix& matrix : layer) total += matrix.bytes();
  }
  return total;
}

CpuWeights prepare_weights(WeightSource& source, DType dtype, Gemm& gemm,
                           const std::function<void(std::int64_t, std::int64_t)>& progress,
                           const StopToken& stop) {
  CpuWeights weights;
  weights.layers.resize(static_cast<std::size_t>(source.config().layers));
  // The LM head comes first, while little else is resident: f16 takes a converted copy on the way.
  visit_matrices(source, progress, stop, [&](Weight weight, int layer, ConstTensor tensor) {
    WeightMatrix matrix = prepare_weight(gemm, tensor, dtype);
    if (matrix.stored.data == nullptr) source.release(tensor);
    WeightMatrix& place =
        layer == kNoLayer
            ? weights.lm_head
            : weights.layers[static_cast<std::size_t>(layer)][static_cast<std::size_t>(weight)];
    place = std::move(matrix);
  });
  weights.embedding = checked_tensor(source, Weight::kEmbedding);
  return weights;
}

}  // namespace airlock
