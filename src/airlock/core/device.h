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

/// Which products a worker prepares weights for. The values travel on the wire.
enum class ProductKinds : std::uint8_t {
  kPlain = 1,  ///< of floats: all operators but the ring's
  kRing = 2,   ///< exact ones on int8 weights: RingLinear and PadProduct alone
  kAll = 3,
};
[[nodiscard]] constexpr bool has_plain(ProductKinds kinds) noexcept {
  return (static_cast<unsigned>(kinds) & 1U) != 0;
}
[[nodiscard]] constexpr bool has_ring(ProductKinds kinds) noexcept {
  return (static_cast<unsigned>(kinds) & 2U) != 0;
}
/// "plain", "ring" or "all". Throws Error(kInvalidArgument) for others.
ProductKinds parse_product_kinds(std::string_view name);
std::string_view product_kinds_name(ProductKinds kinds) noexcept;

/// The device, how exactly it multiplies and within how much memory.
struct ComputeOptions {
  Device device;
  ProductKinds products = ProductKinds::kAll;
  DType dtype = DType::kBF16;  ///< of the plain products: kF32, kBF16; on a GPU also kF16, kI8
  /// Bytes that the KV caches of all sessions may take; a GPU keeps them free.
  std::int64_t kv_bytes = std::int64_t{8} << 30;
  /// GPUs only, like the rest. Bytes of device memory to use at most; 0: what is free.
  std::int64_t gpu_memory = 0;
  /// f32 products in TF32, which keeps 10 bits of each operand's fraction.
  bool tf32 = false;
};

}  // namespace airlock
