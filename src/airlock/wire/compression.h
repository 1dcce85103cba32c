// Names of the ways in which a tensor's bytes may be packed; wire/codec.h does it.
#pragma once

#include <cstdint>
#include <string_view>

namespace airlock {

/// How a tensor's bytes are packed. The values travel on the wire: append only, never renumber.
enum class Compression : std::uint8_t {
  kNone = 0,  ///< as they are in memory
  // 1 was lz4.
  kZstd = 2,  ///< byte planes; takes out what repeats and what comes in unequal frequencies
};

/// "none", "zstd".
std::string_view compression_name(Compression compression) noexcept;

/// True if `value` is one of Compression's values (to check a byte that a peer sent).
bool is_compression(unsigned value) noexcept;

}  // namespace airlock
