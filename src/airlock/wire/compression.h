// Names of the ways in which a tensor's bytes may be packed; wire/codec.h does it.
#pragma once

#include <cstdint>
#include <string_view>

namespace airlock {

/// How a tensor's bytes are packed. The values travel on the wire: append only, never renumber.
enum class Compression : std::uint8_t {
  kNone = 0,  ///< as they are in memory
  kLz4 = 1,   ///< byte planes; takes out what repeats (masks, zeros): fastest
  kZstd = 2,  ///< byte planes; takes out unequal frequencies, too (exponents of activations)
};

/// "none", "lz4", "zstd".
std::string_view compression_name(Compression compression) noexcept;

/// True if `value` is one of Compression's values (to check a byte that a peer sent).
bool is_compression(unsigned value) noexcept;

}  // namespace airlock
