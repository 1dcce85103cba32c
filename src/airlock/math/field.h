// The prime field of the ring plans: F_p with p = 2^31 - 2^24 + 1. 2^24 divides p - 1, so
// number-theoretic transforms of every useful length exist. Plain 64-bit arithmetic, one element at
// a time: what kernels are compared with, and what is off the hot path.
#pragma once

#include <cstdint>

namespace airlock {

inline constexpr std::uint32_t kFieldPrime = 2130706433;  // 2^31 - 2^24 + 1

/// All take and give elements below kFieldPrime. Constant time.
[[nodiscard]] constexpr std::uint32_t field_add(std::uint32_t a, std::uint32_t b) noexcept {
  const std::uint32_t sum = a + b;  // below 2^32
  return sum - (kFieldPrime & (0U - static_cast<std::uint32_t>(sum >= kFieldPrime)));
}
[[nodiscard]] constexpr std::uint32_t field_sub(std::uint32_t a, std::uint32_t b) noexcept {
  return a - b + (kFieldPrime & (0U - static_cast<std::uint32_t>(a < b)));
}
[[nodiscard]] constexpr std::uint32_t field_mul(std::uint32_t a, std::uint32_t b) noexcept {
  return static_cast<std::uint32_t>(std::uint64_t{a} * b % kFieldPrime);
}
[[nodiscard]] constexpr std::uint32_t field_pow(std::uint32_t base,
                                                std::uint64_t exponent) noexcept {
  std::uint32_t power = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) power = field_mul(power, base);
    base = field_mul(base, base);
  }
  return power;
}
[[nodiscard]] constexpr std::uint32_t field_inverse(std::uint32_t a) noexcept {
  return field_pow(a, kFieldPrime - 2);
}
/// The residue of any integer.
[[nodiscard]] constexpr std::uint32_t to_field(std::int64_t value) noexcept {
  const std::int64_t rest = value % std::int64_t{kFieldPrime};
  return static_cast<std::uint32_t>(rest < 0 ? rest + std::int64_t{kFieldPrime} : rest);
}
/// The integer in (-p/2, p/2) of that residue.
[[nodiscard]] constexpr std::int32_t from_field(std::uint32_t a) noexcept {
  return static_cast<std::int32_t>(a > kFieldPrime / 2 ? std::int64_t{a} - std::int64_t{kFieldPrime}
                                                       : std::int64_t{a});
}

/// How a reply travels in 16 bits (DType::kRing16): its upper bits, rounded; at most 65025.
inline constexpr int kRing16Shift = 15;
[[nodiscard]] constexpr std::uint16_t to_ring16(std::uint32_t a) noexcept {
  return static_cast<std::uint16_t>((a + (1U << (kRing16Shift - 1))) >> kRing16Shift);
}
/// An element within 2^14 of the one that was rounded, as integers modulo p.
[[nodiscard]] constexpr std::uint32_t from_ring16(std::uint16_t a) noexcept {
  const std::uint32_t value = std::uint32_t{a} << kRing16Shift;
  return value >= kFieldPrime ? value - kFieldPrime : value;
}

}  // namespace airlock
