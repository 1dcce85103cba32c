// Repeats K or V heads into token-major rows, as FusedAttention takes them.
#pragma once

#include <cstdint>

#include "airlock/core/dtype.h"

namespace airlock {

/// Copies each KV head to the `group` query heads that share it: x: kv_heads blocks of
/// [tokens, head_dim], `head_stride` elements apart -> out: [tokens, kv_heads * group * head_dim].
/// Both are of `dtype`, any but int8. Thread-safe.
void repeat_rows(DType dtype, const void* x, std::int64_t kv_heads, std::int64_t head_stride,
                 std::int64_t group, std::int64_t tokens, std::int64_t head_dim, void* out);

}  // namespace airlock
