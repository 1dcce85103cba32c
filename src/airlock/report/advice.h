// Advice that follows from a ledger's numbers, in figures of the predictor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "airlock/report/ledger_run.h"
#include "airlock/report/summary.h"

namespace airlock {

/// One thing to try, or to know.
struct Advice {
  std::string text;        ///< one sentence, for people
  std::string flags;       ///< what to add to the command line; empty: nothing to try
  std::int64_t calls = 0;  ///< predicted with those flags
  std::int64_t bytes = 0;  ///< predicted with those flags, both directions
};

/// What would cut the bytes most, one knob at a time and then the best preset; and what the times
/// say about how much that can help. `run` may be null, or
/// not be what its plan predicts: then only the times speak. Most telling
/// first; empty for an empty ledger.
std::vector<Advice> advise(const Summary& summary, const LedgerRun* run);

}  // namespace airlock
