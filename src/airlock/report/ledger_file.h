// A ledger in a file, as JSON lines: written as calls come, read back whole.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "airlock/core/output_file.h"
#include "airlock/remote/ledger.h"
#include "airlock/report/ledger_json.h"

namespace airlock {

/// Writes entries as they come, so that a run that dies leaves its ledger. What 100 ms of calls
/// write is buffered. What was there under its name stays until the first call, and for good if
/// none comes before the end or cannot be written.
class FileLedger final : public LedgerSink {
 public:
  /// Makes a file that only this user reads, as OutputFile does. Throws Error(kIo).
  explicit FileLedger(const std::filesystem::path& path);
  /// Writes the first line; before any call.
  void begin(const LedgerHeader& header);
  /// Throws Error(kIo) if the disk refuses.
  void record(const LedgerEntry& entry) override;
  /// Writes what is buffered, or a ledger without calls. Throws Error(kIo) if the disk refuses.
  void close();

 private:
  void write(std::string_view line);

  OutputFile file_;
  bool published_ = false;
  double flushed_ms_ = 0;  ///< end of the last call that is surely in the file
};

/// A ledger file's content.
struct Ledger {
  std::optional<LedgerHeader> header;  ///< nothing in files of older versions
  std::vector<LedgerEntry> entries;
};

/// Reads a ledger file. Calls without "start_ms" are taken to follow one another without a pause.
/// Throws Error(kNotFound), Error(kIo), or Error(kCorruptFile) naming the line; a file without
/// calls is corrupt too, and so is one with a header anywhere but at its beginning.
Ledger read_ledger(const std::filesystem::path& path);

}  // namespace airlock
