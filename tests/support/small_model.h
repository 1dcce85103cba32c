// A model of a few numbers, all of them different, and legal calls on it.
#pragma once

#include <vector>

#include "airlock/model/config.h"
#include "airlock/ops/call.h"
#include "airlock/wire/message.h"

#include "tests/support/model_configs.h"

namespace airlock::testing {

/// Every width differs from every other, so that a mix-up of two cannot pass.
inline ModelConfig small_config() {
  return counted_config({2, 10, 4, 2, 6, 14, 20, 64});
}

inline FingerprintBytes small_fingerprint() {
  FingerprintBytes bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(7 * i + 1);
  return bytes;
}

/// One legal call of every operator but Init, with tensors in `dtype`, and its outputs.
struct LegalCall {
  Call call;
  TensorSpecs outputs;
};

inline std::vector<LegalCall> legal_calls(const ModelConfig& m, std::int64_t n, DType dtype) {
  const auto call = [&](Op op, int layer, TensorSpecs inputs) {
    Call made;
    made.op = op;
    made.layer = layer;
    made.reply_dtype = dtype;
    made.inputs = inputs;
    if (is_attention(op)) made.ranges = {{0, static_cast<std::int32_t>(n), 0}};
    return made;
  };
  const auto spec = [&](Shape shape) { return TensorSpec{dtype, shape}; };
  const TensorSpec x = spec({n, m.hidden});
  const TensorSpec q = spec({n, m.q_dim()});
  const TensorSpec kv = spec({n, m.kv_dim()});
  std::vector<LegalCall> calls = {
      {call(Op::kEmbedding, -1, {{DType::kI64, {n}}}), {x}},
      {call(Op::kBatchLinear, 0, {x}), {q, kv, kv}},
      {call(Op::kBatchLinear, 1, {q}), {x}},
      {call(Op::kBatchLinear, 1, {x}), {spec({n, m.ffn}), spec({n, m.ffn})}},
      {call(Op::kBatchLinear, 1, {spec({n, m.ffn})}), {x}},
      {call(Op::kMatmul, 1, {spec({m.heads, n, m.head_dim}), spec({m.heads, n + 3, m.head_dim})}),
       {spec({m.heads, n, n + 3})}},
      {call(Op::kMatmul, 0, {spec({m.heads, n, n + 3}), spec({m.heads, n + 3, m.head_dim})}),
       {spec({m.heads, n, m.head_dim})}},
      {call(Op::kFusedAttention, 1, {q, spec({n + 5, m.q_dim()}), spec({n + 5, m.q_dim()})}), {q}},
      {call(Op::kFlashAttention, 1, {q, kv, kv}), {q}},
      {call(Op::kAttentionBlock, 1, {x}), {x}},
      {call(Op::kGatedMlp, 0, {x}), {x}},
      {call(Op::kLmHead, -1, {x}), {spec({n, m.vocab})}},
  };
  calls[1].call.weights = {Weight::kQ, Weight::kK, Weight::kV};
  calls[2].call.weights = {Weight::kO};
  calls[3].call.weights = {Weight::kGate, Weight::kUp};
  calls[4].call.weights = {Weight::kDown};
  calls[5].call.transpose_b = true;
  calls[7].call.ranges[0].position = 5;
  return calls;
}

}  // namespace airlock::testing
