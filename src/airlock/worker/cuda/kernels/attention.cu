#include "airlock/worker/cuda/kernels/dispatch.h"
#include "airlock/worker/cuda/kernels/launch.h"

namespace airlock::cuda {
namespace {

template <typename T, typename Out>
__global__ void __launch_bounds__(kPlainThreads) plain_attention_kernel(AttentionArgs args) {
  extern __shared__ float shared[];
  plain_attention_block<T, Out>(at_position(args), block_id(), shared);
}

template <typename Out>
__global__ void __launch_bounds__(kPlainThreads) merge_kernel(AttentionArgs args) {
  merge_block<Out>(args, block_id());
}

/// body(T, Out) for the pairs there are: the output is f32 or as the inputs.
template <typename Body>
void with_types(DType dtype, DType out, const Body& body) {
  with_float_type(dtype, [&](auto tag) {
    if (out == DType::kF32) {
      body(tag, TypeTag<float>{});
    } else {
      body(tag, tag);
    }
  });
}

}  // namespace

void launch_plain_attention(const AttentionArgs& args, DType dtype, DType out,
                            cudaStream_t stream) {
  const Grid grid = plain_grid(args);
  with_types(dtype, out, [&](auto in_tag, auto out_tag) {
    using T = typename decltype(in_tag)::Type;
    using Out = typename decltype(out_tag)::Type;
    plain_attention_kernel<T, Out>
        <<<dim3_of(grid), kPlainThreads, grid.shared_bytes, stream>>>(args);
    check_launch("launch of plain_attention");
    if (args.splits == 1) return;
    merge_kernel<Out><<<args.tokens * args.heads, kPlainThreads, 0, stream>>>(args);
    check_launch("launch of merge");
  });
}

void allow_plain_attention(int head_dim) {
  const int bytes = PlainShared(head_dim).total * static_cast<int>(sizeof(float));
  constexpr int kAlwaysAllowed = 48 << 10;
  if (bytes <= kAlwaysAllowed) return;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const DType out : {DType::kF32, dtype}) {
      with_types(dtype, out, [&](auto in_tag, auto out_tag) {
        check(cudaFuncSetAttribute(plain_attention_kernel<typename decltype(in_tag)::Type,
                                                          typename decltype(out_tag)::Type>,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
              "cudaFuncSetAttribute(plain_attention)");
      });
    }
  }
}

}  // namespace airlock::cuda
