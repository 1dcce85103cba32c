#include "airlock/runner/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "airlock/core/error.h"
#include "airlock/math/heads.h"

namespace airlock {

KvCache::KvCache(const ModelConfig& config, DType dtype, std::int64_t capacity,
                 const BufferPool& pool)
    : kv_heads_(config.kv_heads),
      head_dim_(config.head_dim),
      dtype_(dtype),
      initial_capacity_(std::max<std::int64_t>(capacity, 1)),
      pool_(pool),
      layers_(static_cast<std::size_t>(config.layers)) {
  require(dtype == DType::kF32 || dtype == DType::kBF16, ErrorCode::kInternal,
          "a KV cache of {}", dtype_name(dtype));
}

void KvCache::append(int layer, std::int64_t position, const RopeTable& rope, const float* k,
                     const float* v, std::int64_t tokens) {
  Layer& at = layers_.at(static_cast<std::size_t>(layer));
  require(position <= at.tokens, ErrorCode::kInternal,
          "layer {}: position {} is past the {} rows of the KV cache", layer, position, at.tokens);
  at.tokens = position;
  if (position + tokens > at.capacity) {
    grow(at, std::max({initial_capacity_, position + tokens, 2 * at.capacity}));
  }
  const std::int64_t stride = at.capacity * head_dim_;
  if (dtype_ == DType::kF32) {
    rope.apply_to_heads(k, tokens, kv_heads_, position, at.k.as<float>(), stride, position);
    split_heads(v, tokens, kv_heads_, head_dim_, at.v.as<float>(), stride, position);
  } else {
    rope.apply_to_heads(k, tokens, kv_heads_, position, at.k.as<BF16>(), stride, position);
    split_heads(v, tokens, kv_heads_, head_dim_, at.v.as<BF16>(), stride, position);
  }
  at.tokens += tokens;
}

void KvCache::grow(Layer& layer, std::int64_t capacity) {
  const std::size_t row = static_cast<std::size_t>(head_dim_) * dtype_size(dtype_);
  for (Buffer* buffer : {&layer.k, &layer.v}) {
    Buffer larger = pool_.acquire(static_cast<std::size_t>(kv_heads_ * capacity) * row);
    for (std::int64_t head = 0; head < kv_heads_ && layer.tokens > 0; ++head) {
      std::memcpy(larger.data() + static_cast<std::size_t>(head * capacity) * row,
                  buffer->data() + static_cast<std::size_t>(head * layer.capacity) * row,
                  static_cast<std::size_t>(layer.tokens) * row);
    }
    *buffer = std::move(larger);
  }
  layer.capacity = capacity;
}

std::int64_t KvCache::tokens(int layer) const {
  return layers_.at(static_cast<std::size_t>(layer)).tokens;
}

ConstHeadsView KvCache::view(const Buffer& buffer, const Layer& layer) const {
  return {buffer.data(), head_dim_, layer.capacity * head_dim_};
}

ConstHeadsView KvCache::keys(int layer) const {
  const Layer& at = layers_.at(static_cast<std::size_t>(layer));
  return view(at.k, at);
}

ConstHeadsView KvCache::values(int layer) const {
  const Layer& at = layers_.at(static_cast<std::size_t>(layer));
  return view(at.v, at);
}

}  // namespace airlock
