#include "airlock/worker/cuda/memory_budget.h"

#include <algorithm>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/layer_layout.h"
#include "airlock/worker/cuda/ring_layout.h"

namespace airlock::cuda {
namespace {

double gib(std::int64_t bytes) {
  return static_cast<double>(bytes) / 0x1p30;
}

std::int64_t assumed_tokens(const ModelConfig& config) {
  return std::min(MemoryNeeds::kAssumedTokens, config.max_position);
}

std::int64_t plain_call_bytes(const ModelConfig& config, DType compute) {
  const std::int64_t tokens = assumed_tokens(config);
  // Elements in and out of the largest calls: products with gate and up, scores, one row of logits.
  const std::int64_t mlp = tokens * (config.hidden + 2 * config.ffn);
  const std::int64_t attention = tokens * (4 * config.q_dim() + config.heads * tokens);
  const std::int64_t logit_rows = compute == DType::kI8 ? kInt8Tokens : 1;  // as padded
  const std::int64_t logits = config.hidden + logit_rows * config.vocab;
  // As they travel in f32, and once more for what lies between them.
  return 2 * 4 * std::max({mlp, attention, logits});
}

/// Of products with gate and up, with down, and of one piece of logits: pads of the LM head come as
/// many at a time.
std::int64_t exact_call_bytes(const ModelConfig& config) {
  const std::int64_t tokens = assumed_tokens(config);
  return std::max({ring_call_bytes(tokens, config.hidden, 2 * config.ffn),
                   ring_call_bytes(tokens, config.ffn, config.hidden),
                   ring_call_bytes(ring_grain(DType::kRing), config.hidden, config.vocab)});
}

}  // namespace

void MemoryBudget::take(std::int64_t bytes) {
  const std::int64_t after = used_ += bytes;
  if (after <= limit_) return;
  used_ -= bytes;
  fail(ErrorCode::kResourceExhausted, "{}: {} more bytes are wanted, {} of {} are in use; {}",
       name_, bytes, after - bytes, limit_, remedy_);
}

std::int64_t matrix_bytes(const ModelConfig& config, DType compute) {
  return config.layers * layer_layout(config, compute).bytes + head_layout(config, compute).bytes;
}

MemoryNeeds memory_needs(const ModelConfig& config, ProductKinds products, DType compute,
                         std::int64_t kv_bytes) {
  MemoryNeeds needs;
  needs.workspace = MemoryNeeds::kWorkspace;
  if (has_plain(products)) {
    needs.weights += matrix_bytes(config, compute);
    needs.caches = kv_bytes + kv_bytes / std::max<std::int64_t>(config.layers, 1);
    needs.calls = plain_call_bytes(config, compute);
  }
  if (has_ring(products)) {
    needs.weights += matrix_bytes(config, DType::kI8);
    needs.calls = std::max(needs.calls, exact_call_bytes(config));
  }
  return needs;
}

std::int64_t bytes_for_calls(const MemoryNeeds& needs, std::string_view device, std::int64_t free,
                             std::int64_t asked) {
  const std::int64_t limit = asked > 0 ? std::min(asked, free) : free;
  if (needs.total() <= limit) return limit - (needs.total() - needs.calls);
  const bool by_flag = asked > 0 && asked <= free;
  const bool caches_decide = needs.total() - needs.caches < limit;
  fail(
      ErrorCode::kResourceExhausted,
      "{}: the model needs {:.2f} GiB: {:.2f} of weights, {:.2f} of KV caches, {:.2f} of workspace "
      "and {:.2f} for calls of {} tokens; {} {:.2f} GiB{}",
      device, gib(needs.total()), gib(needs.weights), gib(needs.caches), gib(needs.workspace),
      gib(needs.calls), MemoryNeeds::kAssumedTokens,
      by_flag ? "--gpu-memory allows" : "the device has free", gib(limit),
      caches_decide ? "; lower --kv-budget" : (by_flag ? "; raise --gpu-memory" : ""));
}

}  // namespace airlock::cuda
