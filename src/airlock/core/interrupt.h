// SIGINT and SIGTERM become an ordinary error at the next blocking call or step.
#pragma once

namespace airlock {

/// Catches SIGINT and SIGTERM (and ignores SIGPIPE) for the whole process. Call once, at start.
/// A second SIGINT ends the process at once.
void catch_interrupts();
/// True once such a signal arrived or `raise_interrupt` was called. Async-signal-safe.
[[nodiscard]] bool interrupted() noexcept;
/// A descriptor that polls readable from then on; include it in every blocking poll.
[[nodiscard]] int interrupt_fd() noexcept;
/// Throws Error(kInterrupted) if interrupted().
void throw_if_interrupted();
/// The signal that arrived (SIGINT or SIGTERM), or 0.
[[nodiscard]] int interrupt_signal() noexcept;
/// For tests and embedders: acts as a signal would, and takes it back.
void raise_interrupt() noexcept;
void clear_interrupt() noexcept;

}  // namespace airlock
