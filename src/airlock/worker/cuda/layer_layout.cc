#include "airlock/worker/cuda/layer_layout.h"

#include <algorithm>
#include <span>

#include "airlock/core/error.h"

namespace airlock::cuda {
namespace {

constexpr auto kScaleBytes = static_cast<std::int64_t>(sizeof(float));

/// Bytes behind a matrix of rows of `in` that a product of any of its rows may read.
std::int64_t slack(std::int64_t in, DType compute) {
  return compute == DType::kI8 ? (kInt8Columns - 1) * row_stride(in, compute) : 0;
}

}  // namespace

LayerLayout layer_layout(const ModelConfig& config, DType compute) {
  LayerLayout layout;
  const auto element = static_cast<std::int64_t>(dtype_size(compute));
  const std::span<const Weight> matrices = layer_matrices();
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    const bool last = i + 1 == matrices.size();
    const Shape shape = weight_shape(config, matrices[i]);
    layout.offsets[static_cast<std::size_t>(matrices[i])] = layout.bytes;
    layout.bytes += shape[0] * row_stride(shape[1], compute) * element;
    if (!last && is_next_to(matrices[i], matrices[i + 1])) continue;
    layout.bytes += slack(shape[1], compute);
    if (!last) layout.bytes = padded(layout.bytes, LayerLayout::kAlignment);
  }
  if (compute != DType::kI8) return layout;
  layout.bytes = padded(layout.bytes, LayerLayout::kAlignment);
  for (const Weight weight : layer_matrices()) {
    layout.scales[static_cast<std::size_t>(weight)] = layout.bytes;
    layout.bytes += weight_shape(config, weight)[0] * kScaleBytes;
  }
  return layout;
}

HeadLayout head_layout(const ModelConfig& config, DType compute) {
  HeadLayout layout;
  const Shape shape = weight_shape(config, Weight::kLmHead);
  layout.bytes =
      shape[0] * row_stride(shape[1], compute) * static_cast<std::int64_t>(dtype_size(compute)) +
      slack(shape[1], compute);
  if (compute != DType::kI8) return layout;
  layout.scales = padded(layout.bytes, LayerLayout::kAlignment);
  layout.bytes = layout.scales + shape[0] * kScaleBytes;
  return layout;
}

void check_sums(const ModelConfig& config, DType compute) {
  constexpr std::int64_t kMost = INT32_MAX / (127 * 127);
  std::int64_t widest = weight_shape(config, Weight::kLmHead)[1];
  for (const Weight weight : layer_matrices()) {
    widest = std::max(widest, weight_shape(config, weight)[1]);
  }
  require(compute != DType::kI8 || widest <= kMost, ErrorCode::kUnsupported,
          "int8 products of rows of {} elements can pass 32 bits, {} is the most: take another "
          "--compute-dtype",
          widest, kMost);
}

int adjacent_run(const Weights& weights, int first) noexcept {
  int count = 1;
  while (first + count < weights.size() &&
         is_next_to(weights[first + count - 1], weights[first + count])) {
    ++count;
  }
  return count;
}

}  // namespace airlock::cuda
