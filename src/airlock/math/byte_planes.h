// Elements taken apart into planes of their first, second, ... bytes, and put together again:
// what compresses in a float (sign, exponent) is then apart from what does not (mantissa).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace airlock {

/// Most bytes an element may have.
inline constexpr std::size_t kMaxBytePlanes = 4;

/// Byte p of element i goes to planes[p][i]: `count` elements of planes.size() bytes (1, 2 or 4) at
/// `elements`, `count` bytes in each plane. The memories must not overlap; no alignment is asked
/// for. On the calling thread alone. Throws Error(kInvalidArgument) for another number of planes.
/// Thread-safe.
void split_byte_planes(const std::byte* elements, std::int64_t count,
                       std::span<std::byte* const> planes);

/// The inverse: byte p of element i comes from planes[p][i].
void join_byte_planes(std::span<const std::byte* const> planes, std::int64_t count,
                      std::byte* elements);

}  // namespace airlock
