#include "airlock/ops/call.h"

#include <array>

#include <fmt/format.h>

namespace airlock {
namespace {
constexpr std::array<std::string_view, kOpCount> kOpNames = {
    "Init",           "Embedding", "BatchLinear", "Matmul",     "FusedAttention", "FlashAttention",
    "AttentionBlock", "GatedMlp",  "LMHead",      "RingLinear", "PadProduct"};
}  // namespace

std::string_view op_name(Op op) noexcept {
  return is_op(static_cast<unsigned>(op)) ? kOpNames[static_cast<unsigned>(op)] : "unknown";
}

bool is_op(unsigned value) noexcept {
  return value < kOpNames.size();
}

bool is_attention(Op op) noexcept {
  return op == Op::kFusedAttention || keeps_keys(op);
}

bool prepares(Op op) noexcept {
  return op == Op::kInit || op == Op::kPadProduct;
}

bool is_ring(Op op) noexcept {
  return op == Op::kRingLinear || op == Op::kPadProduct;
}

bool keeps_keys(Op op) noexcept {
  return op == Op::kFlashAttention || op == Op::kAttentionBlock;
}

std::string describe(const Call& call) {
  std::string text(op_name(call.op));
  if (!call.weights.empty()) {
    text += '(';
    for (const Weight weight : call.weights) text.append(weight_name(weight)) += ',';
    text.back() = ')';
  }
  if (call.layer >= 0) text += fmt::format(" of layer {}", call.layer);
  return text;
}

std::int64_t total_bytes(const TensorSpecs& specs) {
  std::int64_t bytes = 0;
  for (const TensorSpec& spec : specs) {
    require(!__builtin_add_overflow(bytes, spec.bytes(), &bytes), ErrorCode::kInvalidArgument,
            "tensors of more than 2^63 bytes in one call");
  }
  return bytes;
}

}  // namespace airlock
