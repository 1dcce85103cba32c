#include "airlock/wire/compression.h"

namespace airlock {

std::string_view compression_name(Compression compression) noexcept {
  if (compression == Compression::kNone) return "none";
  return compression == Compression::kZstd ? "zstd" : "unknown";
}

bool is_compression(unsigned value) noexcept {
  return value == static_cast<unsigned>(Compression::kNone) ||
         value == static_cast<unsigned>(Compression::kZstd);
}

}  // namespace airlock
