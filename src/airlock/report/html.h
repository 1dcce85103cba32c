// One self-contained page about one or several runs: no network, no fonts or scripts from
// elsewhere. The figures are in the markup; a script only sorts tables. report/perfetto.h draws the
// timeline.
#pragma once

#include <span>
#include <string>

#include "airlock/remote/ledger.h"
#include "airlock/report/text.h"

namespace airlock {

/// A report and the calls it was made of.
struct NamedLedger {
  const Report* report = nullptr;
  std::span<const LedgerEntry> entries;
};

/// The page. Section "run-0", "run-1", … has the totals of each run in data-calls,
/// data-sent-bytes, data-received-bytes, data-total-bytes, data-overhead-bytes and data-wall-ms,
/// and as the text of the elements "run-0-calls", "run-0-sent", …; everything from the ledger is
/// escaped.
std::string render_html(std::span<const NamedLedger> ledgers);

}  // namespace airlock
