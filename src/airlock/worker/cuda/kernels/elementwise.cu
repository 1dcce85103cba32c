#include "airlock/worker/cuda/kernels/dispatch.h"
#include "airlock/worker/cuda/kernels/launch.h"

namespace airlock::cuda {
namespace {

template <typename T>
__global__ void __launch_bounds__(kRowThreads) silu_mul_kernel(SiluArgs args) {
  silu_mul_block<T>(args, block_id());
}

__global__ void __launch_bounds__(kRowThreads) rope_angles_kernel(AnglesArgs args) {
  rope_angles_block(at_position(args), block_id());
}

template <typename T>
__global__ void __launch_bounds__(kRowThreads) rope_kernel(RopeArgs args) {
  rope_block<T>(at_position(args), block_id());
}

template <typename T>
__global__ void __launch_bounds__(kRowThreads) append_kernel(AppendArgs args) {
  append_block<T>(at_position(args), block_id());
}

template <typename T>
__global__ void __launch_bounds__(kRowThreads) softmax_kernel(SoftmaxArgs args) {
  __shared__ float shared[kRowThreads];
  softmax_block<T>(args, block_id(), shared);
}

}  // namespace

bool kernels_run_here() {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, rope_angles_kernel);
  if (status != cudaErrorNoKernelImageForDevice && status != cudaErrorInvalidDeviceFunction) {
    check(status, "cudaFuncGetAttributes");
    return true;
  }
  cudaGetLastError();
  return false;
}

void launch_silu_mul(const SiluArgs& args, DType dtype, cudaStream_t stream) {
  const dim3 grid = dim3_of(grid_over(args.rows, args.ffn));
  with_float_type(dtype, [&](auto tag) {
    silu_mul_kernel<typename decltype(tag)::Type><<<grid, kRowThreads, 0, stream>>>(args);
  });
  check_launch("launch of silu_mul");
}

void launch_rope_angles(const AnglesArgs& args, cudaStream_t stream) {
  rope_angles_kernel<<<dim3_of(grid_over(args.rows, args.half)), kRowThreads, 0, stream>>>(args);
  check_launch("launch of rope_angles");
}

void launch_rope(const RopeArgs& args, DType dtype, cudaStream_t stream) {
  const dim3 grid = dim3_of(rope_grid(args));
  with_float_type(dtype, [&](auto tag) {
    rope_kernel<typename decltype(tag)::Type><<<grid, kRowThreads, 0, stream>>>(args);
  });
  check_launch("launch of rope");
}

void launch_append(const AppendArgs& args, DType dtype, cudaStream_t stream) {
  const dim3 grid = dim3_of(append_grid(args));
  with_float_type(dtype, [&](auto tag) {
    append_kernel<typename decltype(tag)::Type><<<grid, kRowThreads, 0, stream>>>(args);
  });
  check_launch("launch of append");
}

void launch_softmax(const SoftmaxArgs& args, DType weights, cudaStream_t stream) {
  const dim3 grid = dim3_of(softmax_grid(args));
  with_float_type(weights, [&](auto tag) {
    softmax_kernel<typename decltype(tag)::Type><<<grid, kRowThreads, 0, stream>>>(args);
  });
  check_launch("launch of softmax");
}

}  // namespace airlock::cuda
