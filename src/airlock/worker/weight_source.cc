#include "airlock/worker/weight_source.h"

#include "airlock/core/error.h"

namespace airlock {

ConstTensor checked_tensor(WeightSource& source, Weight weight, int layer) {
  const ConstTensor tensor = source.tensor(weight, layer);
  const DType dtype = tensor.spec.dtype;
  require(dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16,
          ErrorCode::kInternal, "weights {} are {}, expected f32, bf16 or f16", weight_name(weight),
          dtype_name(dtype));
  const Shape expected = weight_shape(source.config(), weight);
  require(tensor.spec.shape == expected, ErrorCode::kInternal,
          "weights {} have shape {}, expected {}", weight_name(weight), tensor.spec.shape,
          expected);
  return tensor;
}

void visit_matrices(WeightSource& source,
                    const std::function<void(std::int64_t done, std::int64_t total)>& progress,
                    const StopToken& stop,
                    const std::function<void(Weight, int layer, ConstTensor)>& body) {
  const std::int64_t total = matrix_bytes(source);
  std::int64_t done = 0;
  const auto visit = [&](Weight weight, int layer) {
    stop.throw_if_stopped();
    const ConstTensor tensor = checked_tensor(source, weight, layer);
    body(weight, layer, tensor);
    done += tensor.bytes();
    if (progress) progress(done, total);
  };
  visit(Weight::kLmHead, kNoLayer);
  for (int layer = 0; layer < source.config().layers; ++layer) {
    for (const Weight weight : layer_matrices()) visit(weight, layer);
  }
}

std::int64_t matrix_bytes(WeightSource& source) {
  std::int64_t total = source.spec(Weight::kLmHead, kNoLayer).bytes();
  for (int layer = 0; layer < source.config().layers; ++layer) {
    for (const Weight weight : layer_matrices()) total += source.spec(weight, layer).bytes();
  }
  return total;
}

}  // namespace airlock
