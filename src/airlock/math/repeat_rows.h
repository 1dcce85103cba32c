// Repeats K or V heads into token-major rows, as FusedAttention takes them.
#pragma once

#include <cstdint>

#include "airlock/core/dtype.h"

namespace airlock {

/// Copies each KV head to the `group` query heads that share it: x: kv_heads blocks of
/// [tokens, head_dim] f32, `head_stride` elements apart -> out: [tokens, kv_heads * group *
/// head_dim] f32. Thread-safe.
void repeat_rows(const float* x, std::int64_t kv_heads, std::int64_t head_stride,
                 std::int64_t group, std::int64_t tokens, std::int64_t head_dim, float* out);
/// The same on bf16.
void repeat_rows(const BF16* x, std::int64_t kv_heads, std::int64_t head_stride, std::int64_t group,
                 std::int64_t tokens, std::int64_t head_dim, BF16* out);

}  // namespace airlock
