// What a worker computes on, as flags and a command line name it. Plain values: whether the device
// is there is for the worker to say (worker/device.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "airlock/core/dtype.h"

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

/// The device, how exactly it multiplies and within how much memory.
struct ComputeOptions {
  Device device;
  DType dtype = DType::kBF16;  ///< of the products: kF32, kBF16; on a GPU also kF16, kI8
  /// Bytes that the KV caches of all sessions may take; a GPU keeps them free.
  std::int64_t kv_bytes = std::int64_t{8} << 30;
  /// GPUs only, like the rest. Bytes of device memory to use at most; 0: what is free.
  std::int64_t gpu_memory = 0;
  /// f32 products in TF32, which keeps 10 bits of each operand's fraction.
  bool tf32 = false;
};

}  // namespace airlock
