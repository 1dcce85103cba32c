// What a warp does together: products of fragments on tensor cores, loads of fragments, and sums
// over the four lanes that share a row. On a host the same, emulated lane by lane from the layouts
// that the PTX ISA documents ("mma.m16n8k16", "ldmatrix"), which is how the kernel is tested.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "airlock/worker/cuda/kernels/block.h"
#include "airlock/worker/cuda/kernels/element.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#endif

namespace airlock::cuda {

inline constexpr int kWarp = 32;

/// `low` and `high` rounded to T, side by side as fragments hold them.
template <typename T>
AIRLOCK_HD std::uint32_t pack(float low, float high) {
  return static_cast<std::uint32_t>(from_float<T>(low).bits) |
         static_cast<std::uint32_t>(from_float<T>(high).bits) << 16;
}

#if defined(__CUDA_ARCH__)
template <>
__device__ __forceinline__ std::uint32_t pack<BF16>(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

/// c += a b on this lane's fragments.
template <typename T>
__device__ __forceinline__ void mma_lane(float* c, const std::uint32_t* a, std::uint32_t b0,
                                         std::uint32_t b1);
template <>
__device__ __forceinline__ void mma_lane<BF16>(float* c, const std::uint32_t* a, std::uint32_t b0,
                                               std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void mma_lane<F16>(float* c, const std::uint32_t* a, std::uint32_t b0,
                                              std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#else
namespace emulated {

template <typename T>
AIRLOCK_HD float element(std::uint32_t pair, int half) {
  T value;
  value.bits = static_cast<std::uint16_t>(half == 0 ? pair : pair >> 16);
  return to_float(value);
}

/// c[lane][4] += a[lane][4] b[lane][2] of a whole warp, by way of whole matrices.
template <typename T>
AIRLOCK_HD void mma(float* const* c, const std::uint32_t* const* a, const std::uint32_t* const* b) {
  float left[16][16];
  float right[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int group = lane / 4;
    const int pair = lane % 4 * 2;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) {
        left[group + i % 2 * 8][pair + half + i / 2 * 8] = element<T>(a[lane][i], half);
      }
      for (int i = 0; i < 2; ++i) {
        right[pair + half + i * 8][group] = element<T>(b[lane][i], half);
      }
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8;
      const int column = lane % 4 * 2 + i % 2;
      for (int k = 0; k < 16; ++k) c[lane][i] += left[row][k] * right[k][column];
    }
  }
}

/// Four 8x8 matrices: lane l gives the address of row l % 8 of matrix l / 8 and gets, of each
/// matrix, two neighbours of row l / 4, or with kTranspose of column l / 4.
template <bool kTranspose>
AIRLOCK_HD void ldmatrix(std::uint32_t* const* to, const std::uint16_t* const* rows) {
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      std::uint32_t pair = 0;
      for (int half = 0; half < 2; ++half) {
        const int across = lane % 4 * 2 + half;
        const int row = kTranspose ? across : lane / 4;
        const int column = kTranspose ? lane / 4 : across;
        pair |= static_cast<std::uint32_t>(rows[matrix * 8 + row][column]) << (16 * half);
      }
      to[lane][matrix] = pair;
    }
  }
}

}  // namespace emulated
#endif

/// c += a b for every warp of the block: c(thread): float[4], a(thread): const uint32_t[4],
/// b(thread): const uint32_t[2].
template <typename T, int kThreads, typename C, typename A, typename B>
AIRLOCK_HD void warp_mma(const C& c, const A& a, const B& b) {
#if defined(__CUDA_ARCH__)
  const int thread = static_cast<int>(threadIdx.x);
  mma_lane<T>(c(thread), a(thread), b(thread)[0], b(thread)[1]);
#else
  for (int warp = 0; warp < kThreads; warp += kWarp) {
    float* cs[kWarp];
    const std::uint32_t* as[kWarp];
    const std::uint32_t* bs[kWarp];
    for (int lane = 0; lane < kWarp; ++lane) {
      cs[lane] = c(warp + lane);
      as[lane] = a(warp + lane);
      bs[lane] = b(warp + lane);
    }
    emulated::mma<T>(cs, as, bs);
  }
#endif
}

/// Loads four 8x8 matrices of 16-bit elements for every warp: to(thread): uint32_t[4], row(thread):
/// the shared address of that thread's row, 16-byte aligned.
template <int kThreads, bool kTranspose, typename To, typename Row>
AIRLOCK_HD void warp_ldmatrix(const To& to, const Row& row) {
#if defined(__CUDA_ARCH__)
  const int thread = static_cast<int>(threadIdx.x);
  std::uint32_t* r = to(thread);
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row(thread)));
  if constexpr (kTranspose) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
#else
  for (int warp = 0; warp < kThreads; warp += kWarp) {
    std::uint32_t* tos[kWarp];
    const std::uint16_t* rows[kWarp];
    for (int lane = 0; lane < kWarp; ++lane) {
      tos[lane] = to(warp + lane);
      rows[lane] = reinterpret_cast<const std::uint16_t*>(row(warp + lane));
    }
    emulated::ldmatrix<kTranspose>(tos, rows);
  }
#endif
}

/// Folds value(thread), a float&, over each four neighbouring lanes; all four get the result.
template <int kThreads, typename Value, typename Fold>
AIRLOCK_HD void fold_quads(const Value& value, const Fold& fold) {
#if defined(__CUDA_ARCH__)
  float& mine = value(static_cast<int>(threadIdx.x));
  mine = fold(mine, __shfl_xor_sync(0xffffffffU, mine, 1));
  mine = fold(mine, __shfl_xor_sync(0xffffffffU, mine, 2));
#else
  for (int first = 0; first < kThreads; first += 4) {
    const float folded =
        fold(fold(value(first), value(first + 1)), fold(value(first + 2), value(first + 3)));
    for (int i = 0; i < 4; ++i) value(first + i) = folded;
  }
#endif
}

/// 16 bytes from global to shared memory, behind the thread's back, or 16 zeros.
AIRLOCK_HD void copy16_async(void* to, const void* from, bool zeros) {
#if defined(__CUDA_ARCH__)
  __pipeline_memcpy_async(to, from, 16, zeros ? 16 : 0);
#else
  if (zeros) {
    memset(to, 0, 16);
  } else {
    memcpy(to, from, 16);
  }
#endif
}
/// Ends a group of copies.
AIRLOCK_HD void commit_copies() {
#if defined(__CUDA_ARCH__)
  __pipeline_commit();
#endif
}
/// Waits for this thread's copies, but for those of the last kUnderWay groups.
template <int kUnderWay>
AIRLOCK_HD void wait_copies() {
#if defined(__CUDA_ARCH__)
  __pipeline_wait_prior(kUnderWay);
#endif
}

}  // namespace airlock::cuda
