// A file that is written: private to the user, and with failures as errors.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "airlock/core/new_file.h"

namespace airlock {

/// Fills a NewFile (core/new_file.h) by way of a buffer: what was there under its name stays until
/// publish() or close(), and for good if neither comes. Errors name the file; after one nothing
/// more is written. Not thread-safe.
class OutputFile {
 public:
  /// Throws Error(kIo).
  explicit OutputFile(std::filesystem::path path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  /// Flushes as far as the system lets it, and closes; removes what was never published.
  ~OutputFile();

  /// Throws Error(kIo) if the system refuses (a full disk, a limit).
  void write(std::string_view text);
  void flush();  ///< throws as write()
  /// Flushes, and gives the file its name; what comes later goes there. Throws as write().
  void publish();
  /// Publishes and throws as write(); some file systems find out only now. Nothing may be written
  /// then.
  void close();

 private:
  [[noreturn]] void fail_to_write(int error);

  NewFile file_;
  std::string buffer_;
};

}  // namespace airlock
