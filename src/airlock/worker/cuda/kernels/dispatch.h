// From a dtype to the type that kernels are instantiated with, and grids to CUDA's. Only for .cu.
#pragma once

#include <cuda_runtime.h>

#include "airlock/core/dtype.h"
#include "airlock/worker/cuda/check.h"
#include "airlock/worker/cuda/kernels/block.h"

namespace airlock::cuda {

template <typename T>
struct TypeTag {
  using Type = T;
};

/// body(TypeTag<T>) for f32, bf16 or f16.
template <typename Body>
void with_float_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kF32:
      return body(TypeTag<float>{});
    case DType::kBF16:
      return body(TypeTag<BF16>{});
    default:
      return body(TypeTag<F16>{});
  }
}

inline dim3 dim3_of(const Grid& grid) {
  return {static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
          static_cast<unsigned>(grid.z)};
}

__device__ __forceinline__ BlockId block_id() {
  return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z),
          static_cast<int>(gridDim.x), static_cast<int>(gridDim.y)};
}

/// The launch before this was taken by the driver.
inline void check_launch(const char* kernel) {
  check(cudaGetLastError(), kernel);
}

}  // namespace airlock::cuda
