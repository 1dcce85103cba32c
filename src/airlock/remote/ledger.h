// The ledger: one entry for every call, with the bytes counted where they were written and read
// and the time split into its stages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/core/dtype.h"
#include "airlock/ops/call.h"

namespace airlock {

/// One call. The stages follow one another: total = encode + send + worker + receive + decode, up
/// to the clock's resolution; what the link and the peer's bookkeeping cost beyond them is in
/// receive.
struct LedgerEntry {
  std::int64_t call = 0;  ///< number of the call in its run, from 0
  Op op = Op::kInit;
  int layer = -1;
  std::int64_t sent_bytes = 0;      ///< tensor bytes, runner to worker
  std::int64_t received_bytes = 0;  ///< tensor bytes, worker to runner
  std::int64_t overhead_bytes = 0;  ///< headers, messages and padding, both ways
  double start_ms = 0;              ///< since the ledger began
  double encode_ms = 0;             ///< to the wire's dtype, and building the message
  double send_ms = 0;               ///< writing to the link
  double worker_ms = 0;             ///< as the worker reports, capped by what the runner waited
  double receive_ms = 0;            ///< waiting for and reading the reply, less worker_ms
  double decode_ms = 0;             ///< back to f32
  double total_ms = 0;
  std::string link;                      ///< "unix", "tcp", …
  std::int64_t sent_wire_bytes = 0;      ///< sent_bytes as they travelled: less where compressed
  std::int64_t received_wire_bytes = 0;  ///< the same of received_bytes
  DType wire_dtype = DType::kF32;
};

/// Takes entries as calls end. Not thread-safe; one per client.
class LedgerSink {
 public:
  LedgerSink() = default;
  LedgerSink(const LedgerSink&) = delete;
  LedgerSink& operator=(const LedgerSink&) = delete;
  virtual ~LedgerSink() = default;
  virtual void record(const LedgerEntry& entry) = 0;
};

/// Keeps entries in memory.
class MemoryLedger final : public LedgerSink {
 public:
  void record(const LedgerEntry& entry) override { entries_.push_back(entry); }
  [[nodiscard]] const std::vector<LedgerEntry>& entries() const noexcept { return entries_; }
  void clear() noexcept { entries_.clear(); }
  /// Room for so many entries, so that recording does not allocate.
  void reserve(std::size_t count) { entries_.reserve(count); }

 private:
  std::vector<LedgerEntry> entries_;
};

/// Writes entries to a file as JSON lines as they come, so that a run that dies leaves its ledger.
/// Each line is one call with the keys of LedgerEntry; what 100 ms of calls write is buffered.
class FileLedger final : public LedgerSink {
 public:
  /// Throws Error(kIo) if the file cannot be created.
  explicit FileLedger(const std::filesystem::path& path);
  void record(const LedgerEntry& entry) override;
  /// Writes what is buffered. Throws Error(kIo) if the disk refuses.
  void close();

 private:
  std::filesystem::path path_;
  std::ofstream file_;
  double flushed_ms_ = 0;  ///< end of the last call that is surely in the file
};

/// The JSON object of one entry, without a newline, keys as the CLI contract lists them and then
/// "start_ms", "sent_wire_bytes" and "received_wire_bytes". Times have six digits (nanoseconds);
/// "layer" is -1 where there is none.
std::string to_json(const LedgerEntry& entry);
/// The entry of one such line. `where` (file and line) names it in Error(kCorruptFile): not an
/// object, a key missing (but "start_ms": 0 then, and wire bytes: the raw ones), an unknown
/// operator or dtype, a number that is negative, not finite or absurd. Unknown keys are skipped.
LedgerEntry parse_ledger_line(std::string_view line, std::string_view where);
/// Reads a ledger file. Calls without "start_ms" are taken to follow one another without a pause.
/// Throws Error(kNotFound), Error(kIo), or Error(kCorruptFile) naming the line; a file without
/// calls is corrupt too.
std::vector<LedgerEntry> read_ledger(const std::filesystem::path& path);

}  // namespace airlock
