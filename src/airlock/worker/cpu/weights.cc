#include "airlock/worker/cpu/weights.h"

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
  const std::int64_t total = matrix_bytes(source);
  std::int64_t done = 0;
  const auto prepare = [&](Weight weight, int layer) {
    stop.throw_if_stopped();
    const ConstTensor tensor = checked_tensor(source, weight, layer);
    WeightMatrix matrix = prepare_weight(gemm, tensor, dtype);
    if (matrix.stored.data != nullptr) {
      source.keep(tensor);
    } else {
      source.release(tensor);
    }
    done += tensor.bytes();
    if (progress) progress(done, total);
    return matrix;
  };

  CpuWeights weights;
  // The largest first, while little else is resident: f16 takes a converted copy on the way.
  weights.lm_head = prepare(Weight::kLmHead, kNoLayer);
  weights.layers.resize(static_cast<std::size_t>(source.config().layers));
  for (int layer = 0; layer < source.config().layers; ++layer) {
    for (const Weight weight : layer_matrices()) {
      weights.layers[static_cast<std::size_t>(layer)][static_cast<std::size_t>(weight)] =
          prepare(weight, layer);
    }
  }
  weights.embedding = checked_tensor(source, Weight::kEmbedding);
  return weights;
}

}  // namespace airlock
