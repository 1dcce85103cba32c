// Causal attention by tiles with an online softmax: the one kernel that runner and worker share.
// Scores never exist as a whole; working memory does not depend on the context.
#pragma once

#include <cstdint>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/dtype.h"

namespace airlock {

/// One tensor of rows of `head_dim` contiguous elements: row t of head h starts at
/// data + t * token_stride + h * head_stride (elements, not bytes). Token-major
/// [tokens, heads * head_dim] has strides {heads * head_dim, head_dim}; head-major
/// [heads, capacity, head_dim] has {head_dim, capacity * head_dim}.
struct ConstHeadsView {
  const void* data = nullptr;
  std::int64_t token_stride = 0;
  std::int64_t head_stride = 0;
};
/// The same, writable.
struct HeadsView {
  void* data = nullptr;
  std::int64_t token_stride = 0;
  std::int64_t head_stride = 0;
};

/// out[t][h] = sum over j <= position + t of softmax_j(scale * q[t][h] . k[j][g]) * v[j][g], where
/// g = h / (heads / kv_heads) is the KV head that query head h shares.
struct FlashAttentionArgs {
  DType dtype = DType::kF32;      ///< of q, k and v: kF32 or kBF16
  DType out_dtype = DType::kF32;  ///< kF32 or kBF16
  ConstHeadsView q;               ///< [tokens, heads, head_dim]
  ConstHeadsView k;               ///< [position + tokens, kv_heads, head_dim]
  ConstHeadsView v;               ///< [position + tokens, kv_heads, head_dim]
  HeadsView out;                  ///< [tokens, heads, head_dim]; must not overlap the others
  std::int64_t tokens = 0;        ///< new tokens; the last sees the whole context
  std::int64_t position = 0;      ///< tokens that were in the cache before these
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  ///< divides heads
  std::int64_t head_dim = 0;
  float scale = 0;  ///< finite and >= 0, usually 1 / sqrt(head_dim)
};

/// Runs it on threads() threads. f32 inputs: f32 throughout. bf16 inputs: products are accumulated
/// and softmax is taken in f32, with the weights rounded to bf16 before they meet V, on AMX or
/// AVX512_BF16; a processor with neither widens to f32 and rounds nothing.
/// Working memory comes from `scratch` (see flash_attention_scratch_bytes) and goes back to it.
/// Throws Error(kInvalidArgument) for arguments outside what the struct says,
/// Error(kResourceExhausted) if there is no memory. Thread-safe.
void flash_attention(const FlashAttentionArgs& args, const BufferPool& scratch);
/// The same with a pool of its own for the process.
void flash_attention(const FlashAttentionArgs& args);
/// Several, of the same dtype, whose outputs do not overlap: each as alone, bit for bit, but those
/// that are too small for several threads run beside one another.
void flash_attention(std::span<const FlashAttentionArgs> batch, const BufferPool& scratch);

/// Bytes of working memory a call with `args` takes from its pool (before the pool rounds up):
/// proportional to threads and head_dim, and for few tokens to heads; never to tokens squared.
[[nodiscard]] std::int64_t flash_attention_scratch_bytes(const FlashAttentionArgs& args);

}  // namespace airlock
