#include "airlock/wire/compression.h"

#include <array>

#include "airlock/core/error.h"

namespace airlock {
namespace {
constexpr std::array<std::string_view, 3> kNames = {"none", "lz4", "zstd"};
}  // namespace

std::string_view compression_name(Compression compression) noexcept {
  const auto value = static_cast<unsigned>(compression);
  return is_compression(value) ? kNames[value] : "unknown";
}

Compression parse_compression(std::string_view name) {
  for (unsigned i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Compression>(i);
  }
  fail(ErrorCode::kInvalidArgument, "unknown compression `{}`, expected one of none, lz4, zstd{}",
       name, suggest(name, kNames));
}

bool is_compression(unsigned value) noexcept {
  return value < kNames.size();
}

}  // namespace airlock
