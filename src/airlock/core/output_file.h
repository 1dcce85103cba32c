// A file that is written: private to the user, and with failures as errors.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace airlock {

/// Creates a file of mode 0600, or replaces the content of one that exists (whose mode stays), and
/// fills it by way of a buffer. No child inherits its descriptor. Errors name the file; after one
/// nothing more is written. Not thread-safe.
class OutputFile {
 public:
  /// Throws Error(kIo).
  explicit OutputFile(std::filesystem::path path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  /// Flushes as far as the system lets it, and closes.
  ~OutputFile();

  /// Throws Error(kIo) if the system refuses (a full disk, a limit).
  void write(std::string_view text);
  void flush();  ///< throws as write()
  /// Flushes and throws as write(); some file systems find out only now. Nothing may be written
  /// then.
  void close();

 private:
  [[noreturn]] void fail_to_write(int error);

  std::filesystem::path path_;
  std::string buffer_;
  int fd_ = -1;
};

}  // namespace airlock
