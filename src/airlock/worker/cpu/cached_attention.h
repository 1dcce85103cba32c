// FlashAttention and AttentionBlock: attention over the KV caches that sequences keep here.
#pragma once

#include <span>

#include "airlock/kernels/kv_cache.h"
#include "airlock/ops/call.h"
#include "airlock/worker/cpu/context.h"
#include "airlock/worker/cpu/weights.h"

namespace airlock {

/// Appends k and v [tokens, kv_heads * head_dim] to the `caches` of the `ranges` that these rows
/// are, then writes attention of q [tokens, heads * head_dim] over them, range by range, to out
/// [tokens, heads * head_dim]; any float dtypes. Throws as KvCache::prepare; Error(kSessionLost)
/// leaves all caches as they were.
void cached_attention(CpuContext& context, std::span<KvCache* const> caches, int layer,
                      const RowRanges& ranges, ConstTensor q, ConstTensor k, ConstTensor v,
                      Tensor out);

/// The whole attention of a layer on normed x [tokens, hidden]: q, k, v projections of all rows,
/// RoPE of q and k at each range's position, cached attention, o projection, to out
/// [tokens, hidden]; any float dtypes. Throws as cached_attention.
void attention_block(CpuContext& context, const CpuWeights& weights,
                     std::span<KvCache* const> caches, int layer, const RowRanges& ranges,
                     ConstTensor x, Tensor out);

}  // namespace airlock
