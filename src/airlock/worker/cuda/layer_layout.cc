#include "airlock/worker/cuda/layer_layout.h"

#include <algorithm>

#include "airlock/core/error.h"
#include "airlock/ops/rules.h"

namespace airlock::cuda {
namespace {

constexpr auto kScaleBytes = static_cast<std::int64_t>(sizeof(float));

/// Bytes behind a matrix of rows of `in` that a product of any of its rows may read.
std::int64_t slack(std::int64_t in, DType compute) {
  return compute == DType::kI8 ? (kInt8Columns - 1) * row_stride(in, compute) : 0;
}

}  // namespace

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
    const Shape shape = weight_shape(config, weight);
    layout.offsets[static_cast<std::size_t>(i)] = layout.bytes;
    layout.bytes += shape[0] * row_stride(shape[1], compute) * element;
    if (i + 1 < kWeightCount && adjacent(weight, static_cast<Weight>(i + 1))) continue;
    layout.bytes += slack(shape[1], compute);
    if (i + 1 < kWeightCount) layout.bytes = padded(layout.bytes, LayerLayout::kAlignment);
  }
  if (compute != DType::kI8) return layout;
  layout.bytes = padded(layout.bytes, LayerLayout::kAlignment);
  for (int i = 0; i < kWeightCount; ++i) {
    layout.scales[static_cast<std::size_t>(i)] = layout.bytes;
    layout.bytes += weight_shape(config, static_cast<Weight>(i))[0] * kScaleBytes;
  }
  return layout;
}

HeadLayout head_layout(const ModelConfig& config, DType compute) {
  HeadLayout layout;
  layout.bytes = config.vocab * row_stride(config.hidden, compute) *
                     static_cast<std::int64_t>(dtype_size(compute)) +
                 slack(config.hidden, compute);
  if (compute != DType::kI8) return layout;
  layout.scales = padded(layout.bytes, LayerLayout::kAlignment);
  layout.bytes = layout.scales + config.vocab * kScaleBytes;
  return layout;
}

void check_sums(const ModelConfig& config, DType compute) {
  constexpr std::int64_t kMost = INT32_MAX / (127 * 127);
  const std::int64_t widest = std::max({config.hidden, config.q_dim(), config.ffn});
  require(compute != DType::kI8 || widest <= kMost, ErrorCode::kUnsupported,
          "int8 products of rows of {} elements can pass 32 bits, {} is the most: take another "
          "--compute-dtype",
          widest, kMost);
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
