#include "airlock/ops/call_cost.h"

#include <algorithm>
#include <array>
#include <span>

namespace airlock {
namespace {

constexpr std::array kGatedMlpWeights = {Weight::kGate, Weight::kUp, Weight::kDown};
constexpr std::array kAttentionWeights = {Weight::kQ, Weight::kK, Weight::kV, Weight::kO};
constexpr std::array kLmHeadWeights = {Weight::kLmHead};

double product(const ModelConfig& config, std::span<const Weight> weights, std::int64_t rows) {
  double elements = 0;
  for (const Weight weight : weights) {
    elements += static_cast<double>(weight_shape(config, weight).elements());
  }
  return 2 * elements * static_cast<double>(std::max(rows, kRowsOfAPass));
}

/// Each row with K and with V of what its sequence then holds.
double attention(const ModelConfig& config, const Call& call) {
  double pairs = 0;
  for (const RowRange& range : call.ranges) {
    pairs += static_cast<double>(range.tokens) * static_cast<double>(range.position + range.tokens);
  }
  return 4 * static_cast<double>(config.q_dim()) * pairs;
}

double operations(const ModelConfig& config, const Call& call) {
  const Shape& x = call.inputs[0].shape;
  switch (call.op) {
    case Op::kBatchLinear:
    case Op::kRingLinear:
      return product(config, call.weights.span(), x[0]);
    case Op::kPadProduct:
      return product(config, call.weights.span(), call.ranges[0].tokens);
    case Op::kGatedMlp:
      return product(config, kGatedMlpWeights, x[0]);
    case Op::kLmHead:
      return product(config, kLmHeadWeights, x[0]);
    case Op::kMatmul:
      return 2 * static_cast<double>(x.elements()) *
             static_cast<double>(call.inputs[1].shape[call.transpose_b ? 1 : 2]);
    case Op::kFusedAttention:
    case Op::kFlashAttention:
      return attention(config, call);
    case Op::kAttentionBlock:
      return attention(config, call) + product(config, kAttentionWeights, x[0]);
    case Op::kEmbedding:
      return static_cast<double>(x[0]) * static_cast<double>(config.hidden);
    case Op::kInit:
      break;
  }
  return 0;
}

}  // namespace

double call_cost(const ModelConfig& config, const Call& call) {
  return std::max(1.0, operations(config, call));
}

}  // namespace airlock
