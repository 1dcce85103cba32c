// Causal softmax of materialised scores, for FusedAttention.
#pragma once

#include <cmath>
#include <cstdint>

#include "airlock/worker/cuda/kernels/block.h"
#include "airlock/worker/cuda/kernels/element.h"

namespace airlock::cuda {

/// scores: [heads, rows, context] f32, overwritten -> weights: the same shape, in T (may be scores
/// itself if T is f32). Row t sees keys [0, position + t]; weights of others are 0.
struct SoftmaxArgs {
  float* scores = nullptr;
  void* weights = nullptr;
  std::int64_t heads = 0;
  std::int64_t rows = 0;
  std::int64_t context = 0;
  std::int64_t position = 0;
  float scale = 0;
};

/// A row of a head per block.
AIRLOCK_HD Grid softmax_grid(const SoftmaxArgs& args) {
  Grid grid;
  grid.x = static_cast<int>(args.rows);
  grid.y = static_cast<int>(args.heads < kMaxGridY ? args.heads : kMaxGridY);
  grid.shared_bytes = kRowThreads * sizeof(float);
  return grid;
}

/// shared: [kRowThreads].
template <typename T>
AIRLOCK_HD void softmax_block(const SoftmaxArgs& args, const BlockId& block, float* shared) {
  const std::int64_t seen = args.position + block.x + 1;
  for (std::int64_t head = block.y; head < args.heads; head += block.grid_y) {
    float* scores = args.scores + (head * args.rows + block.x) * args.context;
    T* weights = static_cast<T*>(args.weights) + (head * args.rows + block.x) * args.context;
    phase(kRowThreads, [&](int thread) {
      float top = -INFINITY;
      for (std::int64_t j = thread; j < seen; j += kRowThreads) top = fmaxf(top, scores[j]);
      shared[thread] = top;
    });
    reduce(shared, [](float a, float b) { return fmaxf(a, b); });
    PerThread<float, kRowThreads> shift;
    phase(kRowThreads, [&](int thread) { shift[thread] = shared[0] * args.scale; });
    phase(kRowThreads, [&](int thread) {
      float sum = 0;
      for (std::int64_t j = thread; j < seen; j += kRowThreads) {
        scores[j] = expf(scores[j] * args.scale - shift[thread]);
        sum += scores[j];
      }
      shared[thread] = sum;
    });
    reduce(shared, [](float a, float b) { return a + b; });
    phase(kRowThreads, [&](int thread) {
      const float inverse = 1.0F / shared[0];
      for (std::int64_t j = thread; j < args.context; j += kRowThreads) {
        weights[j] = from_float<T>(j < seen ? scores[j] * inverse : 0.0F);
      }
    });
  }
}

}  // namespace airlock::cuda
