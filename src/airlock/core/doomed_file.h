// Files that must not outlive the process, even if a signal ends it at once.
#pragma once

#include <filesystem>

namespace airlock {

/// Remembers a file that exists, for remove_doomed_files(), until this object goes: whoever made
/// the file removes it. Movable, thread-safe. Best effort: a path of 4096 bytes or more, a file
/// that cannot be looked at, or the 33rd at one time is not remembered.
class DoomedFile {
 public:
  DoomedFile() = default;
  explicit DoomedFile(const std::filesystem::path& path) noexcept;
  DoomedFile(DoomedFile&& other) noexcept;
  DoomedFile& operator=(DoomedFile&& other) noexcept;
  DoomedFile(const DoomedFile&) = delete;
  DoomedFile& operator=(const DoomedFile&) = delete;
  ~DoomedFile();

 private:
  int slot_ = -1;
};

/// Removes what is remembered, each file only while it is still the one it was. Async-signal-safe:
/// what a handler calls before _exit().
void remove_doomed_files() noexcept;

}  // namespace airlock
