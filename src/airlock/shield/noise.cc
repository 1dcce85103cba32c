#include "airlock/shield/noise.h"

#include <algorithm>
#include <array>

#include "airlock/core/threads.h"

namespace airlock {

SecretNoise::SecretNoise() : random_(static_cast<std::size_t>(threads())) {}

void SecretNoise::fill(const float* /*x*/, std::int64_t rows, std::int64_t columns,
                       std::int8_t* noise) {
  // Two values a byte, in pieces that stay in the cache.
  constexpr std::int64_t kPiece = 16384;
  const std::int64_t count = rows * columns;
  while (random_.size() < static_cast<std::size_t>(threads())) random_.emplace_back();
  parallel_tasks((count + kPiece - 1) / kPiece, [&](std::int64_t piece, int thread) {
    std::array<std::byte, kPiece / 2> drawn;
    const std::int64_t begin = piece * kPiece;
    const std::int64_t values = std::min(kPiece, count - begin);
    const auto bytes = static_cast<std::size_t>((values + 1) / 2);
    random_[static_cast<std::size_t>(thread)].bytes(std::span(drawn).first(bytes));
    std::int8_t* const out = noise + begin;
    for (std::int64_t i = 0; i < values / 2; ++i) {
      const auto both = std::to_integer<int>(drawn[static_cast<std::size_t>(i)]);
      out[2 * i] = static_cast<std::int8_t>((both & 15) - kNoiseBound);
      out[2 * i + 1] = static_cast<std::int8_t>((both >> 4) - kNoiseBound);
    }
    if (values % 2 != 0) {
      out[values - 1] =
          static_cast<std::int8_t>((std::to_integer<int>(drawn[bytes - 1]) & 15) - kNoiseBound);
    }
    wipe(drawn);
  });
}

}  // namespace airlock
