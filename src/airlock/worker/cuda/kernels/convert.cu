#include "airlock/worker/cuda/kernels/dispatch.h"
#include "airlock/worker/cuda/kernels/launch.h"

namespace airlock::cuda {
namespace {

template <typename From, typename To>
__global__ void __launch_bounds__(kRowThreads) convert_kernel(ConvertArgs args) {
  convert_block<From, To>(args, block_id());
}

template <typename To>
__global__ void __launch_bounds__(kRowThreads) dequantize_kernel(ConvertArgs args) {
  dequantize_block<To>(args, block_id());
}

template <typename To>
__global__ void __launch_bounds__(kRowThreads) scale_sums_kernel(SumsArgs args) {
  scale_sums_block<To>(args, block_id());
}

template <typename From>
__global__ void __launch_bounds__(kRowThreads) quantize_kernel(ConvertArgs args) {
  __shared__ float shared[kRowThreads];
  quantize_block<From>(args, block_id(), shared);
}

}  // namespace

void launch_convert(const ConvertArgs& args, DType from, DType to, cudaStream_t stream) {
  if (args.rows == 0 || args.columns == 0) return;
  const dim3 elements = dim3_of(grid_over(args.rows, args.columns));
  if (from == DType::kI8) {
    with_float_type(to, [&](auto tag) {
      dequantize_kernel<typename decltype(tag)::Type><<<elements, kRowThreads, 0, stream>>>(args);
    });
  } else if (to == DType::kI8) {
    const dim3 rows = dim3_of(grid_of_rows(args.rows));
    with_float_type(from, [&](auto tag) {
      quantize_kernel<typename decltype(tag)::Type><<<rows, kRowThreads, 0, stream>>>(args);
    });
  } else {
    with_float_type(from, [&](auto from_tag) {
      with_float_type(to, [&](auto to_tag) {
        convert_kernel<typename decltype(from_tag)::Type, typename decltype(to_tag)::Type>
            <<<elements, kRowThreads, 0, stream>>>(args);
      });
    });
  }
  check_launch("launch of convert");
}

void launch_scale_sums(const SumsArgs& args, DType to, cudaStream_t stream) {
  if (args.rows == 0 || args.columns == 0) return;
  const dim3 grid = dim3_of(grid_over(args.rows, args.columns));
  with_float_type(to, [&](auto tag) {
    scale_sums_kernel<typename decltype(tag)::Type><<<grid, kRowThreads, 0, stream>>>(args);
  });
  check_launch("launch of scale_sums");
}

}  // namespace airlock::cuda
