// Which device a worker computes on, by the name that --device gives it, and the backend for it.
// Builds without CUDA have everything here but the GPU itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "airlock/core/dtype.h"
#include "airlock/core/stop.h"
#include "airlock/worker/backend.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

/// A processor, or the NVIDIA GPU of that number as the driver counts them.
struct Device {
  enum class Kind : std::uint8_t { kCpu, kCuda };
  Kind kind = Kind::kCpu;
  int index = 0;

  friend bool operator==(const Device&, const Device&) = default;
};

/// "cpu", "cuda" (the same as "cuda:0") or "cuda:N". Throws Error(kInvalidArgument) for others.
Device parse_device(std::string_view name);
/// "cpu" or "cuda:N".
std::string device_name(const Device& device);

/// Throws Error(kUnsupported) that says what is missing for `device`: CUDA in this build, a driver,
/// the GPU. Reads no weights, so that a worker finds out before it does.
void require_device(const Device& device);

struct BackendOptions {
  Device device;
  DType compute_dtype = DType::kBF16;  ///< of the products: kF32, kBF16; on a GPU also kF16, kI8
  /// Called while weights are taken in with the bytes so far and in all. May be empty.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  /// Ends that with Error(kInterrupted).
  StopToken stop = {};
  /// Bytes that the KV caches of all sessions may take; a GPU keeps them free.
  std::int64_t kv_bytes = std::int64_t{8} << 30;
  /// GPUs only, like the rest. Bytes of device memory to use at most; 0: what is free.
  std::int64_t gpu_memory = 0;
  /// f32 products in TF32, which keeps 10 bits of each operand's fraction.
  bool tf32 = false;
};

/// Loads the weights of `source`, which outlives the backend. Throws as require_device and
/// make_cpu_backend or make_cuda_backend do.
std::unique_ptr<Backend> make_backend(WeightSource& source, const BackendOptions& options);

}  // namespace airlock
