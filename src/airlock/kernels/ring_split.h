// Digits of field elements in plain C++ (ring_kernel.h says which): what the portable kernel calls,
// and what others compile for their own instructions. Internal to kernels/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "airlock/kernels/ring_kernel.h"
#include "airlock/math/field.h"

#define AIRLOCK_RING_INLINE __attribute__((always_inline)) inline

namespace airlock::ring {

/// Calls body(elements, digits) for every unit of `kTerms` elements, the last padded with zeros.
template <std::int64_t kTerms, typename T, typename Body>
AIRLOCK_RING_INLINE void for_each_unit(const T* x, std::int64_t count, std::byte* out,
                                       std::int64_t unit_bytes, const Body& body) {
  const std::int64_t padded = (count + kRingUnit - 1) / kRingUnit * kRingUnit;
  std::int64_t i = 0;
  for (; i + kTerms <= count; i += kTerms, out += unit_bytes) body(x + i, out);
  for (; i < padded; i += kTerms, out += unit_bytes) {
    T rest[kTerms] = {};
    if (i < count) std::memcpy(rest, x + i, static_cast<std::size_t>(count - i) * sizeof(T));
    body(rest, out);
  }
}

AIRLOCK_RING_INLINE void split_ring_bytes(const std::uint32_t* x, std::int64_t count,
                                          std::byte* out) {
  for_each_unit<64>(x, count, out, 256, [](const std::uint32_t* from, std::byte* to) {
    auto* digits = reinterpret_cast<std::uint8_t*>(to);
    for (int d = 0; d < 4; ++d) {
      for (int i = 0; i < 64; ++i) {
        digits[64 * d + i] = static_cast<std::uint8_t>(from[i] >> (8 * d));
      }
    }
  });
}

AIRLOCK_RING_INLINE void split_i16_bytes(const std::int16_t* x, std::int64_t count,
                                         std::byte* out) {
  for_each_unit<64>(x, count, out, 128, [](const std::int16_t* from, std::byte* to) {
    auto* digits = reinterpret_cast<std::uint8_t*>(to);
    for (int i = 0; i < 64; ++i) {
      const auto raised = static_cast<std::uint16_t>(static_cast<std::uint16_t>(from[i]) ^ 0x8000U);
      digits[i] = static_cast<std::uint8_t>(raised);
      digits[64 + i] = static_cast<std::uint8_t>(raised >> 8);
    }
  });
}

/// x modulo p, in (-p/2, p/2), as 2^16 high + low with low in [-2^15, 2^15).
AIRLOCK_RING_INLINE void split_ring_halves(const std::uint32_t* x, std::int64_t count,
                                           std::byte* out) {
  for_each_unit<32>(x, count, out, 128, [](const std::uint32_t* from, std::byte* to) {
    std::int16_t low[32];
    std::int16_t high[32];
    for (int i = 0; i < 32; ++i) {
      std::uint32_t a = from[i];  // 2^32 < 3 p; a - p wraps to more than a where a < p
      a = std::min(a, a - kFieldPrime);
      a = std::min(a, a - kFieldPrime);
      const auto centred = static_cast<std::int32_t>(a - (a > kFieldPrime / 2 ? kFieldPrime : 0));
      low[i] = static_cast<std::int16_t>(centred);
      high[i] = static_cast<std::int16_t>((centred + 0x8000) >> 16);
    }
    std::memcpy(to, low, sizeof(low));
    std::memcpy(to + 64, high, sizeof(high));
  });
}

AIRLOCK_RING_INLINE void split_i16_halves(const std::int16_t* x, std::int64_t count,
                                          std::byte* out) {
  for_each_unit<32>(x, count, out, 64,
                    [](const std::int16_t* from, std::byte* to) { std::memcpy(to, from, 64); });
}

AIRLOCK_RING_INLINE void reduce_ring(const std::int64_t* v, std::int64_t count,
                                     std::uint32_t* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = to_field(v[i]);
}

AIRLOCK_RING_INLINE void reduce_ring16(const std::int64_t* v, std::int64_t count,
                                       std::uint16_t* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = to_ring16(to_field(v[i]));
}

}  // namespace airlock::ring
