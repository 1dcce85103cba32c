// FlashAttention and AttentionBlock: attention over the KV cache that a session keeps here.
#pragma once

#include <cstdint>

#include "airlock/kernels/kv_cache.h"
#include "airlock/worker/cpu/context.h"
#include "airlock/worker/cpu/weights.h"

namespace airlock {

/// Appends k and v [tokens, kv_heads * head_dim] to `cache` at `position`, then writes attention of
/// q [tokens, heads * head_dim] over it to out [tokens, heads * head_dim]; any float dtypes.
/// Throws as KvCache::prepare.
void cached_attention(CpuContext& context, KvCache& cache, int layer, std::int64_t position,
                      ConstTensor q, ConstTensor k, ConstTensor v, Tensor out);

/// The whole attention of a layer on normed x [tokens, hidden]: q, k, v projections, RoPE of q and
/// k at `position`, cached attention, o projection, to out [tokens, hidden]; any float dtypes.
void attention_block(CpuContext& context, const CpuWeights& weights, KvCache& cache, int layer,
                     std::int64_t position, ConstTensor x, Tensor out);

}  // namespace airlock
