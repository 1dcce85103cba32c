// What a process holds of the system: descriptors, mapped shared memory and threads, so that a test
// can show that nothing is left when something has died.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace airlock::testing {

inline std::size_t entries_of(const char* folder) {
  const std::filesystem::directory_iterator all(folder);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Names of the threads' folders in /proc; a thread that is made later has another.
inline std::set<std::string> thread_ids() {
  std::set<std::string> ids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    ids.insert(entry.path().filename().string());
  }
  return ids;
}

/// Mappings of memory made by SharedMemory in a process, by its folder in /proc.
inline std::size_t shared_mappings(const std::string& process = "self") {
  std::ifstream maps("/proc/" + process + "/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:airlock") != std::string::npos) ++count;
  }
  return count;
}

struct Holdings {
  std::size_t descriptors = 0;
  std::size_t mappings = 0;  ///< of memory made by SharedMemory, by this process or a peer
  std::size_t threads = 0;
};

/// What this process holds now; a thread that was joined may be in /proc for a moment longer.
inline Holdings holdings() {
  Holdings held;
  held.descriptors = entries_of("/proc/self/fd");
  held.mappings = shared_mappings();
  held.threads = thread_ids().size();
  return held;
}

/// That this process holds no more than before, at the latest in a while.
inline ::testing::AssertionResult holds_no_more_than(const Holdings& before) {
  Holdings now = holdings();
  for (int i = 0; i < 1000; ++i) {
    if (now.descriptors <= before.descriptors && now.mappings <= before.mappings &&
        now.threads <= before.threads) {
      return ::testing::AssertionSuccess();
    }
    ::usleep(10'000);
    now = holdings();
  }
  const auto list = [](const Holdings& held) {
    return fmt::format("{} descriptors, {} shared mappings, {} threads", held.descriptors,
                       held.mappings, held.threads);
  };
  return ::testing::AssertionFailure() << list(now) << "; before: " << list(before);
}

}  // namespace airlock::testing
