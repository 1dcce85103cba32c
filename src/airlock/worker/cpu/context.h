// What the CPU backend's operators share, and how tensors enter and leave the compute dtype.
#pragma once

#include <cstdint>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/tensor.h"
#include "airlock/kernels/gemm.h"
#include "airlock/math/rope.h"
#include "airlock/model/config.h"

namespace airlock {

/// One backend's tools. Not thread-safe.
struct CpuContext {
  ModelConfig config;
  DType compute = DType::kF32;  ///< kF32 or kBF16: what products, KV caches and kernels use
  BufferPool pool;
  Gemm gemm;
  RopeTable rope;
  std::int64_t max_scratch_bytes = 0;

  /// A buffer of `count` elements of `dtype`.
  [[nodiscard]] Buffer acquire(std::int64_t count, DType dtype) const;
};

/// A tensor in the dtype that a kernel wants: the tensor itself, or a converted copy.
class StagedInput {
 public:
  StagedInput(const BufferPool& pool, ConstTensor tensor, DType dtype);
  [[nodiscard]] const void* data() const noexcept { return data_; }

 private:
  Buffer copy_;
  const void* data_;
};

/// Where a kernel writes what will leave as `target`: the target itself if the kernel can write its
/// dtype, else an f32 buffer that finish() converts.
class StagedOutput {
 public:
  /// `direct`: the kernel can write target's dtype.
  StagedOutput(const BufferPool& pool, Tensor target, bool direct);
  [[nodiscard]] void* data() const noexcept { return staged_.data; }
  [[nodiscard]] DType dtype() const noexcept { return staged_.spec.dtype; }
  /// Call once the kernel is done.
  void finish();

 private:
  Buffer buffer_;
  Tensor target_;
  Tensor staged_;
};

}  // namespace airlock
