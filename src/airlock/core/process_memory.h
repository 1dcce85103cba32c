// How much memory this process holds, and the system could give it, as Linux counts it.
#pragma once

#include <cstdint>

namespace airlock {

/// Bytes resident now, and at most since the start or the last reset.
struct ProcessMemory {
  std::int64_t resident_bytes = 0;
  std::int64_t peak_bytes = 0;
};

/// Of this process, from /proc/self/status (VmRSS, VmHWM); zeros if that cannot be read.
ProcessMemory process_memory();

/// Bytes the system can still give without swapping (MemAvailable of /proc/meminfo); the largest
/// number if it does not say.
std::int64_t available_memory();

/// Starts the peak afresh (/proc/self/clear_refs, see proc(5)); does nothing where refused.
void reset_peak_memory();

}  // namespace airlock
