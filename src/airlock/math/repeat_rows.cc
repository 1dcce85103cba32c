#include "airlock/math/repeat_rows.h"

#include <cstring>

#include "airlock/core/threads.h"

namespace airlock {

namespace {
template <typename T>
void repeat(const T* x, std::int64_t kv_heads, std::int64_t head_stride, std::int64_t group,
            std::int64_t tokens, std::int64_t head_dim, T* out) {
  const auto bytes = static_cast<std::size_t>(head_dim) * sizeof(T);
  parallel_for(tokens, 16, [&](std::int64_t begin, std::int64_t end) {
    T* to = out + begin * kv_heads * group * head_dim;
    for (std::int64_t token = begin; token < end; ++token) {
      for (std::int64_t head = 0; head < kv_heads; ++head) {
        const T* from = x + head * head_stride + token * head_dim;
        for (std::int64_t i = 0; i < group; ++i, to += head_dim) std::memcpy(to, from, bytes);
      }
    }
  });
}
}  // namespace

void repeat_rows(const float* x, std::int64_t kv_heads, std::int64_t head_stride,
                 std::int64_t group, std::int64_t tokens, std::int64_t head_dim, float* out) {
  repeat(x, kv_heads, head_stride, group, tokens, head_dim, out);
}

void repeat_rows(const BF16* x, std::int64_t kv_heads, std::int64_t head_stride, std::int64_t group,
                 std::int64_t tokens, std::int64_t head_dim, BF16* out) {
  repeat(x, kv_heads, head_stride, group, tokens, head_dim, out);
}

}  // namespace airlock
