// What a decorator keeps of each call under way, by its ticket.
#pragma once

#include <cstddef>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/ops/operators.h"

namespace airlock {

/// A ring of one `State` a call under way: states are reused, so that they keep their memory and
/// steady state allocates nothing. Not thread-safe.
template <typename State>
class CallsUnderWay {
 public:
  /// `lanes`: most calls under way, Operators::lanes() of what is decorated.
  explicit CallsUnderWay(int lanes) : ring_(static_cast<std::size_t>(lanes)) {}

  /// The state for the call begun next, as it was left by an earlier call. Throws Error(kInternal)
  /// if there are as many as lanes.
  [[nodiscard]] State& next() {
    require(count_ < ring_.size(), ErrorCode::kInternal, "{} calls are under way already", count_);
    return ring_[(first_ + count_) % ring_.size()].state;
  }
  /// Files the state that next() gave under `ticket`: the call has begun.
  void begin(CallTicket ticket) {
    ring_[(first_ + count_) % ring_.size()].ticket = ticket;
    ++count_;
  }
  /// The oldest call's state, and its end. Throws Error(kInternal) unless `ticket` is its.
  [[nodiscard]] State& end(CallTicket ticket) {
    require(count_ > 0 && ring_[first_].ticket == ticket, ErrorCode::kInternal,
            "call {} is not the oldest under way", ticket.number);
    State& state = ring_[first_].state;
    first_ = (first_ + 1) % ring_.size();
    --count_;
    return state;
  }
  /// Calls f(state) of every state, of a call under way or not.
  template <typename F>
  void each(const F& f) {
    for (Entry& entry : ring_) f(entry.state);
  }
  /// Forgets all calls under way.
  void clear() noexcept { first_ = count_ = 0; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  struct Entry {
    CallTicket ticket;
    State state;
  };
  std::vector<Entry> ring_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace airlock
