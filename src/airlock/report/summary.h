// What a ledger adds up to: totals, operators, layers, and the calls that stand out.
// Everything the report shows is computed here, once; renderers only lay it out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "airlock/plan/predict.h"
#include "airlock/remote/ledger.h"

namespace airlock {

/// Sums over some calls. Bytes are tensor bytes but `overhead`; times are milliseconds.
struct Totals {
  std::int64_t calls = 0;
  std::int64_t sent_bytes = 0;
  std::int64_t received_bytes = 0;
  std::int64_t wire_bytes = 0;  ///< payload of both directions as it travelled
  std::int64_t overhead_bytes = 0;
  double encode_ms = 0;
  double send_ms = 0;
  double worker_ms = 0;
  double receive_ms = 0;
  double decode_ms = 0;
  double total_ms = 0;

  void add(const LedgerEntry& entry) noexcept;
  [[nodiscard]] std::int64_t bytes() const noexcept { return sent_bytes + received_bytes; }
  /// Payload of both directions over the time of the calls, in 10^6 bytes a second; 0 if no time.
  [[nodiscard]] double megabytes_per_second() const noexcept;
};

struct OpTotals {
  Op op = Op::kInit;
  Totals totals;
};

struct LayerTotals {
  int layer = -1;  ///< -1: calls of no layer (Embedding, LMHead)
  Totals totals;
};

/// A stage of calls and the time spent in it, for "where the time went".
struct StageTime {
  std::string name;  ///< "encode", "send", "worker", "receive", "decode", "between calls"
  double ms = 0;
};

/// A ledger in figures. `Init` is counted apart, as plans do.
struct Summary {
  Totals all;  ///< without Init
  Totals init;
  std::vector<OpTotals> ops;         ///< in the order of Op, operators that occur only
  std::vector<LayerTotals> layers;   ///< by layer, those that occur only
  std::vector<LedgerEntry> largest;  ///< up to five calls by payload, largest first
  std::vector<LedgerEntry> slowest;  ///< up to five calls by time, slowest first
  double wall_ms = 0;                ///< from the first call's start to the last one's end
  double between_ms = 0;  ///< of that, outside any call: the runner's own work (0 if calls overlap)
  std::vector<std::string> links;  ///< names that occur, in order of appearance
  std::vector<DType> wire_dtypes;  ///< dtypes that occur, in order of appearance

  [[nodiscard]] Traffic traffic() const;
  [[nodiscard]] std::vector<StageTime> stages() const;
};

/// Adds up a ledger; of equal calls the earlier ranks first. Pure; linear in the calls.
Summary summarize(std::span<const LedgerEntry> entries);

}  // namespace airlock
