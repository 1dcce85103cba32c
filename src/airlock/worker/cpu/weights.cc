#include "airlock/worker/cpu/weights.h"

#include "airlock/ops/rules.h"

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
  const ModelConfig& config = source.config();
  const std::int64_t total = matrix_bytes(source);
  std::int64_t done = 0;
  const auto prepare = [&](ConstTensor tensor, const Shape& shape, std::string_view name) {
    stop.throw_if_stopped();
    check_weight(tensor, shape, name);
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
  const Shape vocabulary{config.vocab, config.hidden};
  // The largest first, while little else is resident: f16 takes a converted copy on the way.
  weights.lm_head = prepare(source.lm_head(), vocabulary, "lm_head");
  weights.layers.resize(static_cast<std::size_t>(config.layers));
  for (int layer = 0; layer < config.layers; ++layer) {
    for (int i = 0; i < kWeightCount; ++i) {
      const auto weight = static_cast<Weight>(i);
      weights.layers[static_cast<std::size_t>(layer)][static_cast<std::size_t>(i)] = prepare(
          source.layer_weight(layer, weight), weight_shape(config, weight), weight_name(weight));
    }
  }
  weights.embedding = source.embedding();
  check_weight(weights.embedding, vocabulary, "embedding");
  return weights;
}

}  // namespace airlock
