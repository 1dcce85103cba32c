#include "airlock/math/repeat_rows.h"

#include <cstring>

#include "airlock/core/threads.h"

namespace airlock {

void repeat_rows(DType dtype, const void* x, std::int64_t kv_heads, std::int64_t head_stride,
                 std::int64_t group, std::int64_t tokens, std::int64_t head_dim, void* out) {
  const auto size = static_cast<std::int64_t>(dtype_size(dtype));
  const std::int64_t row = head_dim * size;
  parallel_for(tokens, 16, [&](std::int64_t begin, std::int64_t end) {
    std::byte* to = static_cast<std::byte*>(out) + begin * kv_heads * group * row;
    for (std::int64_t token = begin; token < end; ++token) {
      for (std::int64_t head = 0; head < kv_heads; ++head) {
        const std::byte* from =
            static_cast<const std::byte*>(x) + head * head_stride * size + token * row;
        for (std::int64_t i = 0; i < group; ++i, to += row) {
          std::memcpy(to, from, static_cast<std::size_t>(row));
        }
      }
    }
  });
}

}  // namespace airlock
