#include "airlock/worker/cuda/cache_rows.h"

#include <algorithm>
#include <bit>

#include "airlock/core/error.h"

namespace airlock::cuda {

CacheRows::CacheRows(const ModelConfig& config, DType dtype)
    : config_(config),
      element_(static_cast<std::int64_t>(dtype_size(dtype))),
      layers_(static_cast<std::size_t>(config.layers)) {}

void CacheRows::require_rows(int layer, std::int64_t position) const {
  require(position <= rows(layer), ErrorCode::kSessionLost,
          "the worker's cache of layer {} holds {} tokens, the call continues at {}: start the "
          "sequence again",
          layer, rows(layer), position);
}

std::int64_t CacheRows::capacity_for(const Layer& layer, std::int64_t rows) const {
  if (rows <= layer.capacity) return layer.capacity;
  const auto power = std::bit_ceil(static_cast<std::uint64_t>(std::max(rows, kMinRows)));
  return std::max(rows, std::min(static_cast<std::int64_t>(power), config_.max_position));
}

std::int64_t CacheRows::bytes_of(std::int64_t capacity) const {
  return 2 * capacity * config_.kv_dim() * element_;
}

std::int64_t CacheRows::bytes_with(int layer, std::int64_t rows) const {
  return bytes_ - bytes_of(capacity(layer)) + bytes_of(capacity_for(at(layer), rows));
}

}  // namespace airlock::cuda
