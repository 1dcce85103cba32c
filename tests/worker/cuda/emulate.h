// Runs the GPU's kernels on the host: block by block, each with shared memory full of NaN.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/dtype.h"
#include "airlock/worker/cuda/kernels/block.h"
#include "airlock/worker/cuda/kernels/element.h"

namespace airlock::cuda::testing {

/// kernel(block, shared) for every block of `grid`, the last first: no block may need another.
template <typename Kernel>
void run_grid(const Grid& grid, const Kernel& kernel) {
  const BufferPool pool;
  const Buffer shared = pool.acquire(grid.shared_bytes + 1);
  for (int z = grid.z - 1; z >= 0; --z) {
    for (int y = grid.y - 1; y >= 0; --y) {
      for (int x = grid.x - 1; x >= 0; --x) {
        std::memset(shared.data(), 0xFF, shared.size());
        kernel(BlockId{x, y, z, grid.x, grid.y}, static_cast<void*>(shared.data()));
      }
    }
  }
}

template <typename T>
std::vector<T> narrowed(const std::vector<float>& values) {
  std::vector<T> result;
  result.reserve(values.size());
  for (const float value : values) result.push_back(from_float<T>(value));
  return result;
}

template <typename T>
std::vector<float> widened(const std::vector<T>& values) {
  std::vector<float> result;
  result.reserve(values.size());
  for (const T value : values) result.push_back(to_float(value));
  return result;
}

template <typename T>
constexpr DType dtype_of() {
  if constexpr (sizeof(T) == 4) return DType::kF32;
  return std::is_same_v<T, BF16> ? DType::kBF16 : DType::kF16;
}

}  // namespace airlock::cuda::testing
