#include "airlock/worker/cuda/kernels/attention_mma.h"
#include "airlock/worker/cuda/kernels/dispatch.h"
#include "airlock/worker/cuda/kernels/launch.h"

namespace airlock::cuda {
namespace {

template <typename T, typename Out, int kHeadDim>
__global__ void __launch_bounds__(kMmaThreads) mma_attention_kernel(const AttentionArgs args) {
  extern __shared__ __align__(128) unsigned char shared[];
  const AttentionArgs here = at_position(args);
  MmaAttention<T, Out, kHeadDim>(here, block_id(), reinterpret_cast<T*>(shared)).run();
}

template <typename T, typename Out>
void launch(const AttentionArgs& args, cudaStream_t stream) {
  const Grid grid = mma_grid(args);
  if (args.head_dim == 64) {
    mma_attention_kernel<T, Out, 64>
        <<<dim3_of(grid), kMmaThreads, grid.shared_bytes, stream>>>(args);
  } else {
    mma_attention_kernel<T, Out, 128>
        <<<dim3_of(grid), kMmaThreads, grid.shared_bytes, stream>>>(args);
  }
  check_launch("launch of mma_attention");
}

template <typename T>
void launch(const AttentionArgs& args, DType out, cudaStream_t stream) {
  if (out == DType::kF32) {
    launch<T, float>(args, stream);
  } else {
    launch<T, T>(args, stream);
  }
}

}  // namespace

void launch_mma_attention(const AttentionArgs& args, DType dtype, DType out, cudaStream_t stream) {
  if (dtype == DType::kBF16) {
    launch<BF16>(args, out, stream);
  } else {
    launch<F16>(args, out, stream);
  }
}

}  // namespace airlock::cuda
