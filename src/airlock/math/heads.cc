#include "airlock/math/heads.h"

#include <cstring>

#include "airlock/core/threads.h"
#include "airlock/math/convert.h"
#include "airlock/math/grain.h"

namespace airlock {
namespace {
void copy_row(const float* from, std::int64_t count, float* to) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}
void copy_row(const float* from, std::int64_t count, BF16* to) {
  convert_elements(DType::kF32, from, DType::kBF16, to, count);
}

template <typename To>
void split(const float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim, To* out,
           std::int64_t head_stride, std::int64_t first_row) {
  parallel_for(tokens, grain_rows(heads * head_dim), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      for (std::int64_t h = 0; h < heads; ++h) {
        copy_row(x + (t * heads + h) * head_dim, head_dim,
                 out + h * head_stride + (first_row + t) * head_dim);
      }
    }
  });
}
}  // namespace

void split_heads(const float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
                 float* out, std::int64_t head_stride, std::int64_t first_row) {
  split(x, tokens, heads, head_dim, out, head_stride, first_row);
}

void split_heads(const float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
                 BF16* out, std::int64_t head_stride, std::int64_t first_row) {
  split(x, tokens, heads, head_dim, out, head_stride, first_row);
}

void merge_heads(const float* x, std::int64_t heads, std::int64_t tokens, std::int64_t head_dim,
                 float* out) {
  parallel_for(tokens, grain_rows(heads * head_dim), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      for (std::int64_t h = 0; h < heads; ++h) {
        copy_row(x + (h * tokens + t) * head_dim, head_dim, out + (t * heads + h) * head_dim);
      }
    }
  });
}

void repeat_heads(DType dtype, const void* x, std::int64_t kv_heads, std::int64_t head_stride,
                  std::int64_t group, std::int64_t tokens, std::int64_t head_dim, void* out) {
  const auto size = static_cast<std::int64_t>(dtype_size(dtype));
  const auto* source = static_cast<const std::byte*>(x);
  auto* target = static_cast<std::byte*>(out);
  const std::int64_t head = tokens * head_dim;
  // One index a slice of an output head, so that a single head still spreads over threads.
  const std::int64_t slices = (head + kGrainElements - 1) / kGrainElements;
  parallel_for(kv_heads * group * slices, 1, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t query_head = i / slices;
      const std::int64_t from = head * (i % slices) / slices;
      const std::int64_t to = head * (i % slices + 1) / slices;
      std::memcpy(target + (query_head * head + from) * size,
                  source + (query_head / group * head_stride + from) * size,
                  static_cast<std::size_t>((to - from) * size));
    }
  });
}

}  // namespace airlock
