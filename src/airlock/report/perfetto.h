// A ledger as a trace for ui.perfetto.dev (Chrome's JSON trace-event format): runner, link and
// worker as tracks.
#pragma once

#include <span>
#include <string>

#include "airlock/report/html.h"

namespace airlock {

/// One process a ledger, with the threads "runner" (encode, decode), "link" (send, receive) and
/// "worker"; times in microseconds from each ledger's start, bytes as arguments. Stages are laid
/// one after another in the order encode, send, worker, receive, decode: the ledger has their
/// lengths, not their beginnings. Format: "Trace Event Format",
/// docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
std::string render_perfetto(std::span<const NamedLedger> ledgers);

}  // namespace airlock
