// FusedAttention: attention with its scores materialised, as the textbook has it.
#pragma once

#include <cstdint>

#include "airlock/worker/cpu/context.h"

namespace airlock {

/// out [tokens, heads * head_dim] = causal softmax(q k^T / sqrt(head_dim)) v, where q is [tokens,
/// heads * head_dim] at `position`, k and v are [position + tokens, heads * head_dim] with KV heads
/// already repeated; any float dtypes. Softmax is f32.
/// Memory grows with tokens * context: more than context.max_scratch_bytes throws
/// Error(kResourceExhausted).
void fused_attention(CpuContext& context, ConstTensor q, ConstTensor k, ConstTensor v,
                     std::int64_t position, Tensor out);

}  // namespace airlock
