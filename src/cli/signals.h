// SIGINT and SIGTERM end what the program does by way of one StopToken, given to all it makes.
#pragma once

#include "airlock/core/stop.h"

namespace airlock {

/// Catches SIGINT and SIGTERM (and ignores SIGPIPE) for the whole process. Call once, at start.
/// A second SIGINT ends the process at once.
void catch_signals();
/// Stopped by the first such signal.
[[nodiscard]] const StopToken& signal_stop();
/// The signal that arrived last (SIGINT or SIGTERM), or 0.
[[nodiscard]] int caught_signal() noexcept;

}  // namespace airlock
