#include "airlock/core/process_memory.h"

#include <fstream>
#include <limits>
#include <string>

namespace airlock {

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    std::int64_t kib = 0;
    if (key == "VmRSS:" && status >> kib) memory.resident_bytes = kib * 1024;
    if (key == "VmHWM:" && status >> kib) memory.peak_bytes = kib * 1024;
  }
  return memory;
}

std::int64_t available_memory() {
  std::ifstream memory("/proc/meminfo");
  for (std::string key; memory >> key;) {
    std::int64_t kib = 0;
    if (key == "MemAvailable:" && memory >> kib) return kib * 1024;
  }
  return std::numeric_limits<std::int64_t>::max();
}

void reset_peak_memory() {
  std::ofstream refs("/proc/self/clear_refs");
  refs << "5";
}

}  // namespace airlock
