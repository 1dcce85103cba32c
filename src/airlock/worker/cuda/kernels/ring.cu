#include "airlock/worker/cuda/kernels/dispatch.h"
#include "airlock/worker/cuda/kernels/launch.h"

namespace airlock::cuda {
namespace {

template <typename X>
__global__ void __launch_bounds__(kRowThreads) digits_kernel(DigitsArgs args) {
  digits_block<X>(args, block_id());
}

template <typename X, typename Y>
__global__ void __launch_bounds__(kRowThreads) recombine_kernel(RecombineArgs args) {
  recombine_block<X, Y>(args, block_id());
}

/// body(TypeTag<X>) for rows of the ring or of int16.
template <typename Body>
void with_element_type(DType x, const Body& body) {
  if (x == DType::kI16) return body(TypeTag<std::int16_t>{});
  body(TypeTag<std::uint32_t>{});
}

}  // namespace

void launch_digits(const DigitsArgs& args, DType x, cudaStream_t stream) {
  if (args.rows == 0 || args.columns == 0) return;
  const dim3 grid = dim3_of(grid_over(args.rows, args.columns));
  with_element_type(x, [&](auto tag) {
    digits_kernel<typename decltype(tag)::Type><<<grid, kRowThreads, 0, stream>>>(args);
  });
  check_launch("launch of digits");
}

void launch_recombine(const RecombineArgs& args, DType x, DType to, cudaStream_t stream) {
  if (args.rows == 0 || args.columns == 0) return;
  const dim3 grid = dim3_of(grid_over(args.rows, args.columns));
  with_element_type(x, [&](auto tag) {
    using X = typename decltype(tag)::Type;
    if (to == DType::kRing16) {
      recombine_kernel<X, std::uint16_t><<<grid, kRowThreads, 0, stream>>>(args);
    } else {
      recombine_kernel<X, std::uint32_t><<<grid, kRowThreads, 0, stream>>>(args);
    }
  });
  check_launch("launch of recombine");
}

}  // namespace airlock::cuda
