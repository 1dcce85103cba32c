#include "airlock/worker/weight_source.h"

#include "airlock/core/error.h"

namespace airlock {

void check_weight(ConstTensor tensor, const Shape& shape, std::string_view name) {
  const DType dtype = tensor.spec.dtype;
  require(dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16,
          ErrorCode::kInternal, "weights {} are {}, expected f32, bf16 or f16", name,
          dtype_name(dtype));
  require(tensor.spec.shape == shape, ErrorCode::kInternal, "weights {} have shape {}, expected {}",
          name, tensor.spec.shape, shape);
}

std::int64_t matrix_bytes(WeightSource& source) {
  std::int64_t total = source.lm_head().bytes();
  for (int layer = 0; layer < source.config().layers; ++layer) {
    for (int weight = 0; weight < kWeightCount; ++weight) {
      total += source.layer_weight(layer, static_cast<Weight>(weight)).bytes();
    }
  }
  return total;
}

}  // namespace airlock
