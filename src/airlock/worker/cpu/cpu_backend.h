// The backend that runs on processors, with oneDNN.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/device.h"
#include "airlock/core/dtype.h"
#include "airlock/core/stop.h"
#include "airlock/worker/backend.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

struct CpuBackendOptions {
  /// kF32, or kBF16: products of bf16 values accumulated in f32. On a processor without bf16
  /// instructions the backend computes in f32 and logs one line that says so.
  DType compute_dtype = DType::kBF16;
  /// What weights are prepared for. For the ring alone a model takes its int8 weights, half of
  /// bf16's, and nothing else.
  ProductKinds products = ProductKinds::kAll;
  /// Called while weights are prepared with the bytes done so far and in all. May be empty.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  /// Ends that with Error(kInterrupted).
  StopToken stop = {};
  /// Most bytes that one call may take for scores (FusedAttention's grow with the context squared);
  /// more is Error(kResourceExhausted). 0: half of the machine's memory.
  std::int64_t max_scratch_bytes = 0;
  /// Where activations and packed weights live.
  BufferPool pool;
};

/// Prepares all weights of `source` (which outlives the backend): packs each and releases it from
/// the source, or, on a processor without bf16 instructions, goes on reading it in the source.
/// Throws Error(kInvalidArgument) for another compute dtype, Error(kResourceExhausted) if memory
/// runs out, Error(kInterrupted).
///
/// Memory: one packed copy of each matrix, or, without bf16 instructions, none but the source's own
/// and 32 MiB to widen pieces of it. The embedding is not copied: its rows are gathered from the
/// source, so that a tied LM head is the only resident copy besides the pages of rows asked for.
std::unique_ptr<Backend> make_cpu_backend(WeightSource& source, CpuBackendOptions options);

/// True if this processor multiplies bf16 in hardware (AVX512_BF16 or AMX) and oneDNN may use it.
[[nodiscard]] bool cpu_has_bf16();

}  // namespace airlock
