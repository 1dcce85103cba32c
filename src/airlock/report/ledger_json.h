// The lines of a ledger file as JSON: the first says what ran, then each is one call.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "airlock/model/config.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/predict.h"
#include "airlock/remote/ledger.h"

namespace airlock {

/// What a ledger is of: its first line. Names are of 256 bytes at most.
struct LedgerHeader {
  std::string model;        ///< a preset's or a folder's name
  std::string fingerprint;  ///< of the model, its short form
  /// The counts of the model (layers to max_position); everything else has its default.
  ModelConfig config;
  Plan plan;
  std::string link;  ///< "unix", "tcp", …
  /// What ran, where that is known before the first call.
  std::optional<SideBySide> sequences = {};

  friend bool operator==(const LedgerHeader&, const LedgerHeader&) = default;
};

/// One JSON object without a newline: "model" (name, fingerprint and counts), "plan" (name and
/// every knob), "link" and, if they are known, "sequences" (their count, and the tokens of each).
std::string to_json(const LedgerHeader& header);
/// The JSON object of one entry, without a newline, keys as the CLI contract lists them and then
/// "start_ms", "sent_wire_bytes" and "received_wire_bytes". Times have six digits (nanoseconds);
/// "layer" is -1 where there is none.
std::string to_json(const LedgerEntry& entry);

/// One line as it was read.
struct LedgerLine {
  std::optional<LedgerHeader> header;  ///< else the line is a call
  LedgerEntry entry;
  bool has_start = false;  ///< the call says when it began
};

/// Reads one line. `where` (file and line) names it in Error(kCorruptFile): not an object (with
/// `cut_off`, if that is not empty, as the reason), a key missing (but "start_ms": 0 then, and wire
/// bytes: the raw ones), an unknown operator, dtype or knob, counts that no model has, a string of
/// more than 256 bytes, a number that is negative, not finite or absurd. Unknown keys are skipped.
LedgerLine parse_ledger_line(std::string_view line, std::string_view where,
                             std::string_view cut_off = {});

}  // namespace airlock
