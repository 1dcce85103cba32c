// The worker's operators on a GPU. Each enqueues all of a call, copies included; the results are
// there once Transfers::finish has returned. Shapes have passed infer_outputs.
#pragma once

#include <span>

#include "airlock/ops/call.h"
#include "airlock/worker/cuda/context.h"
#include "airlock/worker/cuda/device_cache.h"
#include "airlock/worker/cuda/weights.h"

namespace airlock::cuda {

using Inputs = std::span<const ConstTensor>;
using Outputs = std::span<const Tensor>;

/// x [tokens, in] times each of the weights that `call` names, transposed.
void batch_linear(const Context& context, const DeviceWeights& weights, const Call& call, Inputs in,
                  Outputs out);
/// x [tokens, hidden] to logits [tokens, vocab].
void lm_head(const Context& context, const DeviceWeights& weights, Inputs in, Outputs out);
/// Normed x [tokens, hidden] -> [tokens, hidden]; gate and up are rounded to the compute dtype, as
/// their product must be anyway.
void gated_mlp(const Context& context, const DeviceWeights& weights, const Call& call, Inputs in,
               Outputs out);
/// a [batch, m, k] times b [batch, k, n], or [batch, n, k] if call.transpose_b.
void matmul(const Context& context, const Call& call, Inputs in, Outputs out);

/// x [tokens, in], kRing or kI16, times each of the weights of exact products that `call` names,
/// transposed, mod p: kRing or kRing16.
void ring_linear(const Context& context, const DeviceWeights& weights, const Call& call, Inputs in,
                 Outputs out);
/// The same on the rows of the matrix that a seed stands for, made on the host; nothing that may be
/// recorded.
void pad_product(const Context& context, const DeviceWeights& weights, const Call& call, Inputs in,
                 Outputs out);

/// q [tokens, heads * head_dim], k and v [position + tokens, heads * head_dim]. Materialises the
/// scores of a piece's rows.
void fused_attention(const Context& context, const Call& call, Inputs in, Outputs out);
/// q [tokens, heads * head_dim], k and v [tokens, kv_heads * head_dim], which join the caches of
/// their ranges: those are prepared for them. Attention runs range by range.
void flash_attention(const Context& context, std::span<const CacheView> caches, const Call& call,
                     Inputs in, Outputs out);
/// Normed x [tokens, hidden] -> [tokens, hidden]; keys and values join the caches of their ranges,
/// prepared for them. Products take all rows at once.
void attention_block(const Context& context, const DeviceWeights& weights,
                     std::span<const CacheView> caches, const Call& call, Inputs in, Outputs out);

/// Dense rows as multiply() takes them: in the dtype of products with weights.
DeviceRows multiplied(const Context& context, const DeviceRows& from);
/// outs [rows, ...], side by side the columns of x [rows, w.in] w^T, for x of multiplied().
void multiply(const Context& context, const DeviceRows& x, const MatrixRows& w,
              std::span<const DeviceRows> outs);

}  // namespace airlock::cuda
