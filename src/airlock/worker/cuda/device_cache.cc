#include "airlock/worker/cuda/device_cache.h"

#include <utility>

#include <cuda_runtime_api.h>

namespace airlock::cuda {

DeviceCache::DeviceCache(const ModelConfig& config, DType dtype, MemoryBudget& budget)
    : config_(config),
      row_bytes_(config.head_dim * static_cast<std::int64_t>(dtype_size(dtype))),
      budget_(budget),
      rows_(config, dtype),
      layers_(static_cast<std::size_t>(config.layers)) {}

void DeviceCache::prepare(const Stream& stream, int layer, std::int64_t position,
                          std::int64_t tokens) {
  DeviceBuffer& block = layers_[static_cast<std::size_t>(layer)];
  rows_.prepare(layer, position, tokens, [&](std::int64_t capacity) {
    DeviceBuffer grown(budget_, rows_.bytes_of(capacity));
    if (position > 0) {
      const auto bytes = [&](std::int64_t rows) {
        return static_cast<std::size_t>(rows * row_bytes_);
      };
      check(cudaMemcpy2DAsync(grown.data(), bytes(capacity), block.data(),
                              bytes(rows_.capacity(layer)), bytes(position),
                              static_cast<std::size_t>(2 * config_.kv_heads),
                              cudaMemcpyDeviceToDevice, stream.get()),
            "cudaMemcpy2DAsync");
      stream.wait();
    }
    block = std::move(grown);
  });
}

CacheView DeviceCache::view(int layer) const {
  const DeviceBuffer& block = layers_[static_cast<std::size_t>(layer)];
  CacheView view;
  view.keys = block.data();
  view.values = block.data() + block.size() / 2;
  view.head_stride = rows_.capacity(layer) * config_.head_dim;
  return view;
}

}  // namespace airlock::cuda
