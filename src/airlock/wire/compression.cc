#include "airlock/wire/compression.h"

#include <array>

namespace airlock {
namespace {
constexpr std::array<std::string_view, 3> kNames = {"none", "lz4", "zstd"};
}  // namespace

std::string_view compression_name(Compression compression) noexcept {
  const auto value = static_cast<unsigned>(compression);
  return is_compression(value) ? kNames[value] : "unknown";
}

bool is_compression(unsigned value) noexcept {
  return value < kNames.size();
}

}  // namespace airlock
