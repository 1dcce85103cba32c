// Launches of the kernels, by dtype. Asynchronous on `stream`; a launch that CUDA refuses throws
// Error as check() does. Callers have checked shapes and dtypes.
#pragma once

#include <cuda_runtime_api.h>

#include "airlock/core/dtype.h"
#include "airlock/worker/cuda/kernels/attention.h"
#include "airlock/worker/cuda/kernels/convert.h"
#include "airlock/worker/cuda/kernels/elementwise.h"
#include "airlock/worker/cuda/kernels/ring.h"
#include "airlock/worker/cuda/kernels/softmax.h"

namespace airlock::cuda {

/// False if this build has no code that the current device runs.
[[nodiscard]] bool kernels_run_here();

/// Any pair of f32, bf16, f16 and int8 but int8 to int8; equal dtypes are copied.
void launch_convert(const ConvertArgs& args, DType from, DType to, cudaStream_t stream);

/// `to`, `dtype`: f32, bf16 or f16, here and below.
void launch_scale_sums(const SumsArgs& args, DType to, cudaStream_t stream);
void launch_silu_mul(const SiluArgs& args, DType dtype, cudaStream_t stream);
void launch_rope_angles(const AnglesArgs& args, cudaStream_t stream);
void launch_rope(const RopeArgs& args, DType dtype, cudaStream_t stream);
void launch_append(const AppendArgs& args, DType dtype, cudaStream_t stream);
void launch_softmax(const SoftmaxArgs& args, DType weights, cudaStream_t stream);

/// `x`: kRing or kI16; `to`: kRing or kRing16.
void launch_digits(const DigitsArgs& args, DType x, cudaStream_t stream);
void launch_recombine(const RecombineArgs& args, DType x, DType to, cudaStream_t stream);

/// The plain kernel, and the merge if there are several parts. `out`: f32 or `dtype`.
void launch_plain_attention(const AttentionArgs& args, DType dtype, DType out, cudaStream_t stream);
/// The tensor cores' kernel: `dtype` bf16 or f16, mma_head_dim(args.head_dim), one part.
void launch_mma_attention(const AttentionArgs& args, DType dtype, DType out, cudaStream_t stream);
/// Lets blocks of this device take the plain kernel's shared memory for `head_dim`, which the
/// device offers. Once per device.
void allow_plain_attention(int head_dim);

}  // namespace airlock::cuda
