// A file that takes its name only once it is worth it, so that a failure costs nothing that was
// there.
#pragma once

#include <filesystem>

#include "airlock/core/doomed_file.h"

namespace airlock {

/// A descriptor to write to. Where `path` names a regular file or nothing it is a new file beside
/// it (".airlock-PID-N", mode 0600, made by O_EXCL), which publish() puts in the place of what was
/// there and which is otherwise removed, also by remove_doomed_files(). Devices, pipes and names of
/// descriptors (/dev/stdout, /dev/stderr, /dev/fd/N, /proc/...) are opened themselves: publish()
/// changes nothing. Any other link is refused, and so is a file that may not be written. No child
/// inherits the descriptor. Errors name `path`. Not thread-safe.
class NewFile {
 public:
  enum class Special { kWritten, kRefused };

  /// Throws Error(kIo). `special`: what becomes of what is no regular file.
  explicit NewFile(std::filesystem::path path, Special special = Special::kWritten);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  /// Closes; removes what was never published.
  ~NewFile();

  /// -1: closed.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// Gives the file its name, for good; the second time nothing. Throws Error(kIo).
  void publish();
  /// Returns errno, or 0. Does not publish.
  int close() noexcept;

 private:
  void open_itself(bool descriptor);
  void open_beside();
  [[noreturn]] void fail_to_create(int error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;  ///< until it has its name
  DoomedFile doomed_;
  int fd_ = -1;
};

/// True for /dev/stdout, /dev/stderr, /dev/fd/N and what is in /proc: links that are the system's.
[[nodiscard]] bool names_descriptor(const std::filesystem::path& path);

}  // namespace airlock
