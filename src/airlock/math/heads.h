// Moves between token-major [tokens, heads * head_dim] and head-major [heads, tokens, head_dim].
// All are copies on every thread; sources and destinations must not overlap. Thread-safe.
#pragma once

#include <cstdint>

#include "airlock/core/dtype.h"

namespace airlock {

/// x: [tokens, heads * head_dim] f32; row t of head h goes to
/// out + h * head_stride + (first_row + t) * head_dim (as RopeTable::apply_to_heads, unrotated).
void split_heads(const float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
                 float* out, std::int64_t head_stride, std::int64_t first_row);
/// The same, rounded to bf16.
void split_heads(const float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
                 BF16* out, std::int64_t head_stride, std::int64_t first_row);

/// x: [heads, tokens, head_dim] f32 -> out: [tokens, heads * head_dim] f32.
void merge_heads(const float* x, std::int64_t heads, std::int64_t tokens, std::int64_t head_dim,
                 float* out);

/// Copies each KV head to the `group` query heads that share it: x: kv_heads blocks of
/// [tokens, head_dim], `head_stride` elements apart -> out: [kv_heads * group, tokens, head_dim],
/// dense. Both are of `dtype`, any but int8.
void repeat_heads(DType dtype, const void* x, std::int64_t kv_heads, std::int64_t head_stride,
                  std::int64_t group, std::int64_t tokens, std::int64_t head_dim, void* out);

}  // namespace airlock
