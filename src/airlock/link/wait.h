// Waiting that ends: for a descriptor, a time limit or a stop, whichever is first.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

#include "airlock/core/stop.h"
#include "airlock/link/fd.h"

namespace airlock {

/// A time limit; nullopt: none.
using Limit = std::optional<std::chrono::milliseconds>;

/// The Limit that a duration from a caller means: 0 (and below) is none.
[[nodiscard]] inline Limit limit_of(std::chrono::milliseconds duration) noexcept {
  return duration.count() > 0 ? Limit(duration) : std::nullopt;
}

/// A point in time that several waits share. Immutable.
class Deadline {
 public:
  explicit Deadline(Limit limit);
  /// Time left, rounded up and at least 0; nullopt if there is no end.
  [[nodiscard]] Limit left() const;

 private:
  std::optional<std::chrono::steady_clock::time_point> end_;
};

/// How long a message may wait for its peer in all: a limit at first, from which every wait is
/// taken off; bytes that move earn it back, at most to the limit, at the least rate at which they
/// may move (without a rate any byte earns all of it). So n bytes wait no longer than the limit and
/// n / rate, and a peer that stops is noticed after the limit. For one thread.
class Patience {
 public:
  using Duration = std::chrono::steady_clock::duration;

  Patience() = default;
  Patience(Limit limit, double least_rate) noexcept : limit_(limit), least_rate_(least_rate) {}

  /// Other terms from now on; what was waited stays.
  void set_terms(Limit limit, double least_rate) noexcept {
    limit_ = limit;
    least_rate_ = least_rate;
  }
  /// A new message begins.
  void renew() noexcept { waited_ = {}; }
  void spend(Duration waited) noexcept { waited_ += waited; }
  void earn(std::size_t bytes) noexcept;
  /// Rounded up; nullopt: there is no limit.
  [[nodiscard]] Limit left() const noexcept;
  [[nodiscard]] bool is_spent() const noexcept { return left() == std::chrono::milliseconds(0); }
  /// Gives `wait` what is left and takes off what it takes.
  template <typename Wait>
  auto during(const Wait& wait) {
    const struct Spend {
      Patience& patience;
      std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
      ~Spend() { patience.spend(std::chrono::steady_clock::now() - begin); }
    } spend{*this};
    return wait(left());
  }

 private:
  Limit limit_;
  double least_rate_ = 0;  ///< bytes a second; 0: none
  Duration waited_{};      ///< and not earned back
};

/// Waits until `fd` has one of `events` (poll's) or `also` (if not -1) is readable. Returns poll's
/// revents of `fd` (0 if only `also` woke it), nullopt when `limit` passed.
/// Throws Error(kInterrupted) for `stop`; Error(kInternal) if the system refuses to poll.
[[nodiscard]] std::optional<short> wait_for(int fd, short events, Limit limit,
                                            const StopToken& stop, int also = -1);

/// Asks, for about as long as a sleep and a wake-up take (20 us), whether `fd` has one of `events`.
/// False if it had none: then it is time to wait_for(). Does not look for a stop.
[[nodiscard]] bool spin_for(int fd, short events) noexcept;
/// True if spinning pays in a process that may run on `cores`: a peer on the same machine needs
/// its own, and both need some for their arithmetic.
[[nodiscard]] constexpr bool worth_spinning(int cores) noexcept {
  return cores >= 8;
}
/// The cores this process may run on, at least 1.
[[nodiscard]] int usable_cores() noexcept;

/// A flag that a thread can wait for together with a stop. Thread-safe.
class Event {
 public:
  /// Throws Error(kResourceExhausted) without descriptors.
  Event();
  void set() noexcept;
  void clear() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Waits until set. False when `limit` passed. Throws Error(kInterrupted) for `stop`.
  [[nodiscard]] bool wait(Limit limit, const StopToken& stop) const;

 private:
  Fd fd_;
};

/// An Event that also goes off by itself at a point in time, with the precision of a timer of the
/// kernel: poll counts whole milliseconds, and other waits are late by the thread's timer slack.
/// One thread waits; set() may be called from any.
class Alarm {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Throws Error(kResourceExhausted) without descriptors.
  Alarm();
  void set() noexcept { event_.set(); }
  void clear() noexcept { event_.clear(); }
  [[nodiscard]] bool is_set() const;
  /// Waits until set. False when `until` (nullopt: never) came first. Throws Error(kInterrupted)
  /// for `stop`.
  [[nodiscard]] bool wait(std::optional<Time> until, const StopToken& stop) const;

 private:
  Event event_;
  Fd timer_;
};

}  // namespace airlock
