// The backend that runs on an NVIDIA GPU, with cuBLASLt and kernels of our own.
// Declared in every build; builds without CUDA refuse by name what they cannot do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "airlock/core/device.h"
#include "airlock/core/dtype.h"
#include "airlock/core/stop.h"
#include "airlock/worker/backend.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

struct CudaBackendOptions {
  int device = 0;  ///< as the driver counts them
  /// What weights are uploaded for. For the ring alone a model takes its int8 weights, half of
  /// bf16's, and no memory for KV caches.
  ProductKinds products = ProductKinds::kAll;
  /// Of the plain products. kF32, or kBF16 or kF16: products of such values accumulated in f32.
  /// kI8: products with weights of int8 rows, accumulated in i32; all else, the KV cache too, is
  /// then in bf16.
  DType compute_dtype = DType::kBF16;
  /// f32 products in TF32 (operands keep 10 bits of fraction): faster, and outside f32's bounds.
  bool tf32 = false;
  /// Bytes of device memory to use at most; 0: what is free.
  std::int64_t gpu_memory = 0;
  /// Of these, bytes to keep for the KV caches of all sessions.
  std::int64_t kv_bytes = std::int64_t{8} << 30;
  /// Kernels of calls of few tokens are recorded and replayed as CUDA graphs. Results are the same,
  /// but for the order of attention's sums over more than 256 tokens.
  bool graphs = true;
  /// Called while weights are uploaded with the bytes so far and in all. May be empty.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  /// Ends that with Error(kInterrupted).
  StopToken stop = {};
};

/// Uploads all weights of `source` (which outlives the backend), once for each kind of products,
/// and releases each from the source as it goes. Throws as require_cuda, Error(kInvalidArgument)
/// for another compute dtype or weights of the ring's products that are not finite,
/// Error(kUnsupported) for heads or int8 rows too wide for the kernels, Error(kResourceExhausted),
/// with what would be needed, if weights, caches and workspace do not fit (before anything is
/// allocated), Error(kInterrupted). What CUDA itself refuses is Error(kInternal) naming the call.
///
/// The embedding stays with the source: a reply of rows has to cross to the host anyway.
std::unique_ptr<Backend> make_cuda_backend(WeightSource& source, const CudaBackendOptions& options);

/// False in builds without CUDA, where every GPU is missing.
[[nodiscard]] bool built_with_cuda() noexcept;
/// Why GPU `device` cannot be used here, e.g. "no NVIDIA driver", or "" if it can.
[[nodiscard]] std::string why_no_cuda(int device);
/// Throws Error(kUnsupported) with why_no_cuda(), unless that is "".
void require_cuda(int device);

}  // namespace airlock
