// The file of `airlock run --logits`: what each token was chosen from, for other programs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "airlock/core/new_file.h"

namespace airlock {

/// A .npy file (format 1.0), [tokens, vocab] little-endian f32 in C order, whole after each row.
/// Mode 0600: logits give the text away. It takes its name with publish(): what was there before
/// stays until then, and for good if that does not come. Not thread-safe.
class LogitsFile {
 public:
  /// One of no rows. Throws Error(kIo), naming it, for what cannot be written, and for what is no
  /// regular file (a link, a pipe).
  LogitsFile(std::filesystem::path path, std::int64_t vocab);
  /// One row, [vocab]. Throws Error(kIo).
  void add(std::span<const float> logits);
  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }
  void publish() { file_.publish(); }  ///< throws Error(kIo)

 private:
  void write(std::int64_t offset, std::span<const std::byte> bytes) const;
  void write_header() const;

  NewFile file_;
  std::int64_t vocab_;
  std::int64_t rows_ = 0;
};

}  // namespace airlock
