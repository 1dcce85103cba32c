// Attention by cuDNN's fused engines, for the shapes they take and that come often; our own kernels
// do the rest, and all of it in builds without cuDNN.
#pragma once

#include <cstdint>
#include <memory>

#include "airlock/core/dtype.h"
#include "airlock/worker/cuda/device_memory.h"
#include "airlock/worker/cuda/kernels/attention.h"
#include "airlock/worker/cuda/stream.h"

namespace airlock::cuda {

/// Not thread-safe. What goes wrong with cuDNN is logged the first time and never fails a call.
class Sdpa {
 public:
  /// Attention runs on `stream`, which outlives this. `worth`: see SdpaPlans.
  Sdpa(const Stream& stream, double worth);
  Sdpa(const Sdpa&) = delete;
  Sdpa& operator=(const Sdpa&) = delete;
  ~Sdpa();

  /// Enqueues attention of q [tokens, heads * head_dim] in `dtype` to out, in the same, over a
  /// cache of `cache_rows` rows, or gives false: then nothing was enqueued.
  bool attend(const AttentionArgs& args, DType dtype, std::int64_t cache_rows, Arena& arena);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace airlock::cuda
