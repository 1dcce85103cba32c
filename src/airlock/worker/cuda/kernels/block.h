// How kernels are written so that they run on a GPU and, block by block in a plain loop, on a host:
// as phases, each run by every thread of the block before the next begins.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define AIRLOCK_HD __host__ __device__ __forceinline__
#else
#define AIRLOCK_HD inline
#endif
#if defined(__CUDA_ARCH__)
#define AIRLOCK_UNROLL _Pragma("unroll")
#else
#define AIRLOCK_UNROLL
#endif

namespace airlock::cuda {

/// A kernel's place in its grid, and the grid.
struct BlockId {
  int x = 0;
  int y = 0;
  int z = 0;
  int grid_x = 1;
  int grid_y = 1;
};

/// Blocks of a launch, and bytes of shared memory each takes.
struct Grid {
  int x = 1;
  int y = 1;
  int z = 1;
  std::size_t shared_bytes = 0;
};

/// Grids have at most so many rows; kernels over more loop.
inline constexpr std::int64_t kMaxGridY = 65535;

AIRLOCK_HD constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// `args` whose position, if they say where it lies on the device, is the one that lies there: what
/// a recorded kernel is launched with stays the same from replay to replay.
template <typename Args>
AIRLOCK_HD Args at_position(Args args) {
  if (args.position_at != nullptr) {
    args.position = static_cast<decltype(args.position)>(*args.position_at);
  }
  return args;
}

/// body(thread) for the calling thread of a GPU, or for all `threads` in turn. No barrier: what one
/// thread wrote to shared memory others see after sync().
template <typename Body>
AIRLOCK_HD void each_thread([[maybe_unused]] int threads, const Body& body) {
#if defined(__CUDA_ARCH__)
  body(static_cast<int>(threadIdx.x));
#else
  for (int thread = 0; thread < threads; ++thread) body(thread);
#endif
}

/// Barrier of the block. On a host a phase has ended for all threads when each_thread returns.
AIRLOCK_HD void sync() {
#if defined(__CUDA_ARCH__)
  __syncthreads();
#endif
}

/// each_thread, then sync.
template <typename Body>
AIRLOCK_HD void phase(int threads, const Body& body) {
  each_thread(threads, body);
  sync();
}

/// What every thread keeps in registers from phase to phase.
template <typename T, int kThreads>
class PerThread {
 public:
#if defined(__CUDA_ARCH__)
  AIRLOCK_HD T& operator[](int /*thread*/) {
    return value_;
  }

 private:
  T value_;
#else
  AIRLOCK_HD T& operator[](int thread) {
    return values_[thread];
  }

 private:
  T values_[kThreads];
#endif
};

/// Elements that one thread of the kernels over rows handles, a block's width apart.
inline constexpr int kRowThreads = 256;
inline constexpr int kPerThread = 4;

/// The grid of for_each_element over `rows` of `columns`.
AIRLOCK_HD Grid grid_over(std::int64_t rows, std::int64_t columns) {
  Grid grid;
  grid.x = static_cast<int>(ceil_div(columns, kRowThreads * kPerThread));
  grid.y = static_cast<int>(rows < kMaxGridY ? rows : kMaxGridY);
  return grid;
}

/// body(row, column) for this block's share of [rows, columns]; neighbours in a row go to
/// neighbouring threads, so that they touch memory together.
template <typename Body>
AIRLOCK_HD void for_each_element(const BlockId& block, std::int64_t rows, std::int64_t columns,
                                 const Body& body) {
  each_thread(kRowThreads, [&](int thread) {
    for (std::int64_t row = block.y; row < rows; row += block.grid_y) {
      for (int i = 0; i < kPerThread; ++i) {
        const std::int64_t column =
            (static_cast<std::int64_t>(block.x) * kPerThread + i) * kRowThreads + thread;
        if (column < columns) body(row, column);
      }
    }
  });
}

/// Folds values[0, kRowThreads) into values[0] by `fold`; all threads have written theirs and
/// synced. Ends with a barrier.
template <typename Fold>
AIRLOCK_HD void reduce(float* values, const Fold& fold) {
  for (int half = kRowThreads / 2; half > 0; half /= 2) {
    phase(kRowThreads, [&](int thread) {
      if (thread < half) values[thread] = fold(values[thread], values[thread + half]);
    });
  }
}

}  // namespace airlock::cuda
