// How much work makes a second thread worth waking. Internal to math/.
#pragma once

#include <algorithm>
#include <cstdint>

namespace airlock {

/// Elements an elementwise kernel gives one thread at least: 256 KiB of f32 take some 30 us to
/// stream, about what waking a sleeping thread costs.
constexpr std::int64_t kGrainElements = 1 << 16;

/// The same in rows of `columns` elements.
constexpr std::int64_t grain_rows(std::int64_t columns) {
  return std::max<std::int64_t>(1, kGrainElements / std::max<std::int64_t>(1, columns));
}

}  // namespace airlock
