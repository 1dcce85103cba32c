// Writing all of what is to be written, through signals and short writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace airlock {

/// Writes `bytes` at `offset` of a file. 0, or errno; how much was written then is not told.
/// Thread-safe.
[[nodiscard]] int pwrite_all(int fd, std::int64_t offset,
                             std::span<const std::byte> bytes) noexcept;

}  // namespace airlock
