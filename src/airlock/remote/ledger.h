// The ledger: one entry for every call, with the bytes counted where they were written and read
// and the time split into its stages. report/ledger_file.h keeps it in a file.
#pragma once

#include <cstdint>
#include <string>
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

}  // namespace airlock
