// A file of a checkpoint, open for reading: what cannot be read is explained, and one that changes
// while it is in use is an error, never a signal.
// Inside the model room only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include <sys/stat.h>

namespace airlock {

/// A regular file. Read by offset, so any thread may; never mapped, for a mapped file that somebody
/// truncates ends the process with SIGBUS.
class InputFile {
 public:
  /// Opens it. Throws Error(kNotFound) without one, or for a link to nothing, Error(kIo) for what
  /// the system refuses, Error(kCorruptFile) for a folder, a pipe, or the pointer that Git LFS
  /// leaves in a file's place.
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// Bytes when it was opened.
  [[nodiscard]] std::uint64_t bytes() const noexcept {
    return static_cast<std::uint64_t>(opened_.st_size);
  }
  /// Fills `out` from `offset`. Throws Error(kIo) if the file has another size or another time of
  /// modification than when it was opened, or the system cannot read it.
  void read(std::uint64_t offset, std::span<std::byte> out) const;
  /// All of it up to its end, whatever the system says of its size. Throws Error(kCorruptFile) past
  /// `max_bytes`, Error(kIo).
  [[nodiscard]] std::string read_text(std::uint64_t max_bytes) const;
  /// Tells the system that these bytes will be read soon.
  void will_need(std::uint64_t offset, std::uint64_t bytes) const noexcept;

 private:
  /// pread that goes on after a signal.
  [[nodiscard]] std::size_t read_some(std::uint64_t offset, std::span<std::byte> out) const;

  std::filesystem::path path_;
  int fd_ = -1;
  struct stat opened_ {};
};

/// True if the folder lists that name, were it a link to nothing. Throws Error(kIo) if that cannot
/// be found out.
[[nodiscard]] bool is_listed(const std::filesystem::path& path);

/// Throws Error(kNotFound) unless `dir` is there, Error(kIo) if it is no folder or cannot be looked
/// at. What is in one that cannot be searched says so itself.
void require_folder(const std::filesystem::path& dir);

}  // namespace airlock
