#include "airlock/worker/row_slices.h"

#include <algorithm>

namespace airlock {
namespace {

bool has_scales(const TensorSpecs& specs) {
  return std::any_of(specs.begin(), specs.end(),
                     [](const TensorSpec& spec) { return spec.dtype == DType::kI8; });
}

/// `tensor` is [rows, …], not int8.
template <typename View>
View rows_of(const View& tensor, std::int64_t first, std::int64_t count) {
  const std::int64_t row_bytes = tensor.bytes() / tensor.spec.shape[0];
  return {{tensor.spec.dtype, {count, tensor.spec.shape[1]}}, tensor.data + first * row_bytes};
}

}  // namespace

std::int64_t rows_apart(const Call& call) noexcept {
  if (call.reply_dtype == DType::kI8 || has_scales(call.inputs)) return 0;
  switch (call.op) {
    case Op::kBatchLinear:
    case Op::kGatedMlp:
    case Op::kLmHead:
    case Op::kRingLinear:
      return call.inputs[0].shape[0];
    case Op::kPadProduct:
      return call.ranges[0].tokens;
    default:
      return 0;
  }
}

void cut_rows(const Call& call, std::span<const ConstTensor> inputs,
              std::span<const Tensor> outputs, std::int64_t first, std::int64_t count,
              RowSlice& slice) {
  slice.call = call;
  if (call.op == Op::kPadProduct) {
    slice.call.ranges[0].position += first;
    slice.call.ranges[0].tokens = static_cast<std::int32_t>(count);
    slice.inputs[0] = inputs[0];
  } else {
    slice.inputs[0] = rows_of(inputs[0], first, count);
    slice.call.inputs[0] = slice.inputs[0].spec;
  }
  std::transform(outputs.begin(), outputs.end(), slice.outputs.begin(),
                 [&](const Tensor& output) { return rows_of(output, first, count); });
}

}  // namespace airlock
