// The file of `airlock run --logits`: what each token was chosen from, for other programs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace airlock {

/// A .npy file (format 1.0), [tokens, vocab] little-endian f32 in C order, whole after each row.
/// Mode 0600: logits give the text away. Gone at the end if it has no rows. Not thread-safe.
class LogitsFile {
 public:
  /// Creates or replaces it. Throws Error(kIo), naming it, for what cannot be written or made
  /// private, and for what is no regular file (a link, a pipe).
  LogitsFile(std::filesystem::path path, std::int64_t vocab);
  ~LogitsFile();
  LogitsFile(const LogitsFile&) = delete;
  LogitsFile& operator=(const LogitsFile&) = delete;

  /// One row, [vocab]. Throws Error(kIo).
  void add(std::span<const float> logits);

 private:
  void write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  void write_header() const;
  [[noreturn]] void fail_with(int error) const;

  std::filesystem::path path_;
  int fd_ = -1;
  std::int64_t vocab_;
  std::int64_t rows_ = 0;
};

}  // namespace airlock
