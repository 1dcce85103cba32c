// The keys and values that one sequence has left on the GPU, layer by layer.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/worker/cuda/cache_rows.h"
#include "airlock/worker/cuda/device_memory.h"
#include "airlock/worker/cuda/kernels/elementwise.h"
#include "airlock/worker/cuda/stream.h"

namespace airlock::cuda {

/// Each layer's rows head-major, [kv_heads, capacity, head_dim], K then V, in one block that grows
/// as CacheRows says. Not thread-safe; the GPU is current.
class DeviceCache {
 public:
  /// The config and the budget must outlive the cache.
  DeviceCache(const ModelConfig& config, DType dtype, MemoryBudget& budget);

  /// As CacheRows::prepare. Throws Error(kSessionLost), and as DeviceBuffer does.
  void prepare(const Stream& stream, int layer, std::int64_t position, std::int64_t tokens);
  void commit(int layer, std::int64_t tokens) { rows_.commit(layer, tokens); }

  [[nodiscard]] CacheView view(int layer) const;
  [[nodiscard]] const CacheRows& rows() const noexcept { return rows_; }

 private:
  const ModelConfig& config_;
  std::int64_t row_bytes_;  ///< of one head
  MemoryBudget& budget_;
  CacheRows rows_;
  std::vector<DeviceBuffer> layers_;
};

}  // namespace airlock::cuda
