// How much memory this process holds, and the system could give it, as Linux counts it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace airlock {

/// Bytes resident now, and at most since the start or the last reset.
struct ProcessMemory {
  std::int64_t resident_bytes = 0;
  std::int64_t peak_bytes = 0;
};

/// Of this process, from /proc/self/status (VmRSS, VmHWM); zeros if that cannot be read.
ProcessMemory process_memory();

/// Bytes the system can still give this process without swapping: the least of MemAvailable of
/// /proc/meminfo, what the memory limits of its control groups leave (cgroups(7), version 1 and 2,
/// page cache that can be dropped counted as free) and address_space_left(). The largest number if
/// nothing says. `root`: where /proc and /sys are looked for.
std::int64_t available_memory(const std::filesystem::path& root = "/");

/// Bytes of address space that RLIMIT_AS leaves; the largest number without such a limit.
std::int64_t address_space_left() noexcept;

/// `bytes` and what is missing to whole pages.
[[nodiscard]] std::size_t whole_pages(std::size_t bytes) noexcept;

/// Starts the peak afresh (/proc/self/clear_refs, see proc(5)); does nothing where refused.
void reset_peak_memory();

/// Gives the heap's free pages back to the system.
void release_free_heap() noexcept;

}  // namespace airlock
