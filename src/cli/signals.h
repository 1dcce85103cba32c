// SIGINT, SIGTERM and SIGHUP end what the program does by way of one StopToken, given to all it
// makes.
#pragma once

#include "airlock/core/stop.h"

namespace airlock {

/// Catches SIGINT, SIGTERM and SIGHUP for the whole process, and ignores SIGPIPE and
/// SIGXFSZ: a closed pipe and a limit on file sizes are errors of the write. Call once, at start. A
/// SIGINT after another signal ends the process at once, without its doomed files.
void catch_signals();
/// Stopped by the first such signal.
[[nodiscard]] const StopToken& signal_stop();
/// The signal that arrived last (SIGINT, SIGTERM or SIGHUP), or 0.
[[nodiscard]] int caught_signal() noexcept;

}  // namespace airlock
