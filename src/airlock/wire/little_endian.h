// Numbers as they travel: little-endian, at any address.
#pragma once

#include <cstddef>
#include <cstdint>

namespace airlock {

/// Writes the sizeof(T) bytes of `value`, lowest first. T is an unsigned integer or enumeration.
template <typename T>
void put(std::byte* at, T value) noexcept {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    at[i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
  }
}

/// The T whose bytes lie at `at`.
template <typename T>
T get(const std::byte* at) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<std::uint64_t>(at[i]) << (8 * i);
  }
  return static_cast<T>(value);
}

}  // namespace airlock
