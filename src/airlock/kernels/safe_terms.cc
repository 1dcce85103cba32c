#include "airlock/kernels/safe_terms.h"

#include <algorithm>
#include <cstring>

#include "airlock/core/threads.h"

namespace airlock {

std::int64_t safe_terms(std::int64_t terms, DType in, bool on_amx) noexcept {
  constexpr std::int64_t kTile = 32;  // bf16 values in a tile's row
  const bool wrong = on_amx && in == DType::kBF16 && terms > kTile && terms % kTile == kTile - 1;
  return wrong ? terms + 1 : terms;
}

void pad(const PaddedFrom& from, std::size_t element_bytes, std::int64_t rows, std::int64_t columns,
         void* to) {
  constexpr std::int64_t kGrainBytes = 64 << 10;  // worth waking a thread for
  const auto size = static_cast<std::int64_t>(element_bytes);
  const std::int64_t row_bytes = from.columns * size;
  const std::int64_t row_step = from.token_major ? from.batch * row_bytes : row_bytes;
  const std::int64_t batch_step = from.token_major ? row_bytes : from.rows * row_bytes;
  const std::int64_t to_bytes = columns * size;
  const auto* source = static_cast<const std::byte*>(from.data);
  auto* target = static_cast<std::byte*>(to);
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainBytes / to_bytes);
  parallel_for(from.batch * rows, grain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i % rows;
      const std::int64_t copied = row < from.rows ? row_bytes : 0;
      std::byte* out = target + i * to_bytes;
      if (copied > 0) {
        std::memcpy(out, source + i / rows * batch_step + row * row_step,
                    static_cast<std::size_t>(copied));
      }
      std::memset(out + copied, 0, static_cast<std::size_t>(to_bytes - copied));
    }
  });
}

}  // namespace airlock
