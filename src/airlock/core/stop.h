// Asking work to stop: a signal ends a program, a caller ends an engine or one of its sequences.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace airlock {

/// What work looks at, and what a wait polls, to learn that it should stop. Copies are cheap and
/// stand for the same; thread-safe, as is copying one that nobody assigns to.
class StopToken {
 public:
  /// Sources one behind another, from a program to what it asks for last. The system has no limit;
  /// this one lets a wait keep its descriptors on the stack.
  static constexpr std::size_t kMostSources = 6;

  /// Never stops.
  StopToken() = default;

  /// True once its source, or one that that one follows, was asked to stop: from then on, always.
  [[nodiscard]] bool stopped() const noexcept;
  /// Throws Error(kInterrupted) if stopped().
  void throw_if_stopped() const;
  /// Fills in descriptors, at most kMostSources, one of which polls readable once stopped() is
  /// true, and stays so: a wait that polls them all misses no stop. Returns how many; 0: it never
  /// stops. They are open for as long as this token or a copy lives; nobody may read them.
  std::size_t descriptors(std::span<int, kMostSources> into) const noexcept;

 private:
  friend class StopSource;
  struct State;
  explicit StopToken(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

/// Asks the holders of its tokens to stop, once and for all. One descriptor each. Thread-safe.
class StopSource {
 public:
  /// Throws Error(kResourceExhausted) without descriptors.
  StopSource() : StopSource(StopToken()) {}
  /// Follows `parent`: its tokens stop when `parent` does, too, and `parent` knows nothing of them.
  /// Throws Error(kInternal) for more than StopToken::kMostSources in a row.
  explicit StopSource(const StopToken& parent);
  /// Tokens live on, and never learn of a stop that was not asked for.
  ~StopSource() = default;
  StopSource(const StopSource&) = delete;
  StopSource& operator=(const StopSource&) = delete;

  [[nodiscard]] StopToken token() const noexcept { return StopToken(state_); }
  /// Async-signal-safe.
  void request_stop() const noexcept;

 private:
  std::shared_ptr<StopToken::State> state_;
};

}  // namespace airlock
