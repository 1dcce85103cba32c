#include "airlock/kernels/kv_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/convert.h"

namespace airlock {

KvCache::KvCache(const ModelConfig& config, DType dtype, BufferPool pool)
    : config_(config),
      dtype_(dtype),
      pool_(std::move(pool)),
      layers_(static_cast<std::size_t>(config.layers)) {}

std::int64_t KvCache::capacity_for(const Layer& layer, std::int64_t rows) const {
  if (rows <= layer.capacity) return layer.capacity;
  const auto power = std::bit_ceil(static_cast<std::uint64_t>(std::max(rows, kMinRows)));
  return std::max(rows, std::min(static_cast<std::int64_t>(power), config_.max_position));
}

std::int64_t KvCache::bytes_of(std::int64_t capacity) const {
  return 2 * capacity * config_.kv_dim() * static_cast<std::int64_t>(dtype_size(dtype_));
}

std::int64_t KvCache::bytes_with(int layer, std::int64_t rows) const {
  const Layer& held = at(layer);
  return bytes_ - bytes_of(held.capacity) + bytes_of(capacity_for(held, rows));
}

std::int64_t KvCache::head_stride(int layer) const {
  return at(layer).capacity * config_.head_dim;
}

void* KvCache::values(int layer) const {
  const Layer& held = at(layer);
  return held.data.data() + bytes_of(held.capacity) / 2;
}

void KvCache::grow(Layer& layer, std::int64_t capacity) {
  Buffer data = pool_.acquire(static_cast<std::size_t>(bytes_of(capacity)));
  const std::int64_t row = config_.head_dim * static_cast<std::int64_t>(dtype_size(dtype_));
  for (std::int64_t head = 0; layer.rows > 0 && head < 2 * config_.kv_heads; ++head) {
    std::memcpy(data.data() + head * capacity * row,
                layer.data.data() + head * layer.capacity * row,
                static_cast<std::size_t>(layer.rows * row));
  }
  bytes_ += bytes_of(capacity) - bytes_of(layer.capacity);
  layer.data = std::move(data);
  layer.capacity = capacity;
}

void KvCache::require_rows(int layer, std::int64_t position) const {
  require(position <= rows(layer), ErrorCode::kSessionLost,
          "the worker's cache of layer {} holds {} tokens, the call continues at {}: start the "
          "sequence again",
          layer, rows(layer), position);
}

void KvCache::prepare(int layer, std::int64_t position, std::int64_t tokens) {
  require_rows(layer, position);
  Layer& held = at(layer);
  const std::int64_t before = std::exchange(held.rows, position);
  const std::int64_t capacity = capacity_for(held, position + tokens);
  if (capacity == held.capacity) return;
  try {
    grow(held, capacity);
  } catch (...) {
    held.rows = before;
    throw;
  }
}

void KvCache::commit(int layer, std::int64_t tokens) {
  at(layer).rows += tokens;
}

void KvCache::clear() noexcept {
  for (Layer& layer : layers_) layer = {};
  bytes_ = 0;
}

void KvCache::write(int layer, ConstTensor rows, void* to) {
  const std::int64_t first = at(layer).rows;
  const std::int64_t stride = head_stride(layer);
  const auto element = static_cast<std::int64_t>(dtype_size(dtype_));
  const DType from_dtype = rows.spec.dtype;
  const auto from_element = static_cast<std::int64_t>(dtype_size(from_dtype));
  const std::int64_t head_dim = config_.head_dim;
  constexpr std::int64_t kGrainRows = 64;
  parallel_for(rows.spec.shape[0], kGrainRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      for (std::int64_t head = 0; head < config_.kv_heads; ++head) {
        convert_elements(
            from_dtype, rows.data + (t * config_.kv_dim() + head * head_dim) * from_element, dtype_,
            static_cast<std::byte*>(to) + (head * stride + (first + t) * head_dim) * element,
            head_dim);
      }
    }
  });
}

void KvCache::write_keys(int layer, ConstTensor rows) {
  write(layer, rows, keys(layer));
}
void KvCache::write_values(int layer, ConstTensor rows) {
  write(layer, rows, values(layer));
}

}  // namespace airlock
