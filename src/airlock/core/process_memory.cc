#include "airlock/core/process_memory.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

namespace airlock {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

/// What a file of one number holds; nothing for "max" and where there is no such file.
std::optional<std::int64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::int64_t value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

/// The number behind `key` in a file of lines such as "key 123"; 0 if it is not there.
std::int64_t number_of(const std::filesystem::path& path, std::string_view key) {
  std::ifstream file(path);
  std::string word;
  std::int64_t value = 0;
  while (file >> word >> value) {
    if (word == key) return value;
  }
  return 0;
}

/// How one version of control groups names what counts here.
struct GroupFiles {
  const char* limit;
  const char* used;
  const char* cache;  ///< in memory.stat: pages of files that can be dropped at once
};
constexpr GroupFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes",
                               "total_inactive_file"};
constexpr GroupFiles kVersion2{"memory.max", "memory.current", "inactive_file"};

/// The least that a group and those above it leave. A container may see itself as the hierarchy's
/// root under a name that does not exist in it: then only what is above it is found.
std::int64_t group_left(const std::filesystem::path& mount, std::filesystem::path group,
                        const GroupFiles& files) {
  std::int64_t left = kMost;
  while (true) {
    const std::filesystem::path folder = mount / group;
    if (const auto limit = number_in(folder / files.limit)) {
      const std::int64_t used = number_in(folder / files.used).value_or(0) -
                                number_of(folder / "memory.stat", files.cache);
      left = std::min(left, std::max<std::int64_t>(*limit - std::max<std::int64_t>(used, 0), 0));
    }
    if (group.empty()) return left;
    group = group.parent_path();
  }
}

/// Lines of /proc/self/cgroup are "hierarchy:controllers:/path"; those of version 2 "0::/path".
std::int64_t groups_left(const std::filesystem::path& root) {
  const std::filesystem::path mounts = root / "sys/fs/cgroup";
  std::int64_t left = kMost;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const auto path = std::filesystem::path(line.substr(second + 1)).relative_path();
    if (controllers == ",,") {
      left = std::min({left, group_left(mounts, path, kVersion2),
                       group_left(mounts / "unified", path, kVersion2)});
    } else if (controllers.find(",memory,") != std::string::npos) {
      left = std::min(left, group_left(mounts / "memory", path, kVersion1));
    }
  }
  return left;
}

}  // namespace

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

std::int64_t available_memory(const std::filesystem::path& root) {
  std::int64_t left = std::min(groups_left(root), address_space_left());
  std::ifstream memory(root / "proc/meminfo");
  for (std::string key; memory >> key;) {
    std::int64_t kib = 0;
    if (key == "MemAvailable:" && memory >> kib) left = std::min(left, kib * 1024);
  }
  return left;
}

std::int64_t address_space_left() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kMost;
  // Nothing here takes memory: it is asked when there is none.
  const int file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  std::array<char, 128> text{};
  const ssize_t read = file < 0 ? -1 : ::read(file, text.data(), text.size() - 1);
  if (file >= 0) ::close(file);
  long long pages = 0;
  if (read <= 0 || std::sscanf(text.data(), "%lld", &pages) != 1) return kMost;
  const auto used = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
  return used >= limit.rlim_cur ? 0 : static_cast<std::int64_t>(limit.rlim_cur - used);
}

std::size_t whole_pages(std::size_t bytes) noexcept {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

void reset_peak_memory() {
  std::ofstream refs("/proc/self/clear_refs");
  refs << "5";
}

void release_free_heap() noexcept {
  ::malloc_trim(0);
}

}  // namespace airlock
