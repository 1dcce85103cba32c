// Hints of one model on disk: a file that is written whole or not at all, and believed in nothing
// that its reader does not check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "airlock/core/doomed_file.h"
#include "airlock/model/fingerprint.h"
#include "airlock/shield/lattice.h"

namespace airlock {

/// Whose hints a file holds. Its content: a header, then `bytes` of hints.
struct HintFile {
  Fingerprint fingerprint{};
  LatticeParameters lattice;
  bool lm_head = true;
  std::int64_t bytes = 0;

  /// "<fingerprint>-N512-r3.hints", without the LM head "<fingerprint>-N512-r3-layers.hints".
  [[nodiscard]] std::string name() const;
};

/// Reads a file of hints. Movable.
class HintReader {
 public:
  /// Opens `folder`/`file.name()`. Empty if there is none. Throws Error(kCorruptFile) for a file of
  /// another size or header, Error(kIo).
  static std::optional<HintReader> open(const std::filesystem::path& folder, const HintFile& file);
  HintReader(HintReader&& other) noexcept;
  HintReader& operator=(HintReader&& other) = delete;
  ~HintReader();

  /// Bytes from `offset` of the hints. Throws Error(kIo), Error(kCorruptFile) where the file ends.
  void read(std::int64_t offset, std::span<std::byte> into) const;

 private:
  HintReader(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::filesystem::path path_;
};

/// Writes a file of hints under a temporary name. What goes wrong, a full disk above all, is said
/// in one warning, after which nothing more is written: a cache is no reason to end a run.
class HintWriter {
 public:
  /// Makes the folder. With an empty one nothing is written.
  HintWriter(const std::filesystem::path& folder, const HintFile& file);
  HintWriter(const HintWriter&) = delete;
  HintWriter& operator=(const HintWriter&) = delete;
  ~HintWriter();  ///< removes what is not finished

  /// At `offset` of the hints.
  void write(std::int64_t offset, std::span<const std::byte> from);
  /// Gives the file its name, in place of one that has it.
  void finish();

 private:
  void begin(const HintFile& file);
  void write_all(std::int64_t position, std::span<const std::byte> from);
  void give_up(const std::string& why);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  DoomedFile doomed_;  ///< the temporary one, until it has its name
  int fd_ = -1;
};

}  // namespace airlock
