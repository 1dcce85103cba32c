// The two delays of a link: bytes take turns on it (bandwidth), then travel (half a round trip).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "airlock/link/shaper_clock.h"

namespace airlock {

/// When bytes have crossed one direction of a link: each starts as the one before it ends. Counts
/// bytes since the line was last idle, so that no rounding adds up. Not thread-safe.
class SerialLine {
 public:
  using Time = ShaperClock::Time;
  using Duration = ShaperClock::Duration;

  explicit SerialLine(double bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  /// Puts `bytes` that are ready at `ready` behind those before them. Returns when the last of them
  /// has crossed.
  Time carry(Time ready, std::size_t bytes) {
    if (ready > free_at()) {
      start_ = ready;
      carried_ = 0;
    }
    carried_ += bytes;
    return free_at();
  }
  /// How long so many bytes occupy the line, rounded up.
  [[nodiscard]] Duration time_of(std::uint64_t bytes) const {
    return std::chrono::ceil<Duration>(
        std::chrono::duration<double>(static_cast<double>(bytes) / bytes_per_second_));
  }
  /// How many bytes cross within `duration`.
  [[nodiscard]] double bytes_in(Duration duration) const {
    return std::chrono::duration<double>(duration).count() * bytes_per_second_;
  }

  /// When the line last ceased to be idle, and the bytes since.
  [[nodiscard]] Time start() const noexcept { return start_; }
  [[nodiscard]] std::uint64_t carried() const noexcept { return carried_; }

 private:
  [[nodiscard]] Time free_at() const { return start_ + time_of(carried_); }

  double bytes_per_second_;
  Time start_{};
  std::uint64_t carried_ = 0;
};

/// Bytes on their way, in order, each with its time of arrival; bounded, and allocated once.
/// One thread puts bytes in (space, add), one takes them out (the rest). The caller guards all
/// calls by one mutex, but for front(), and for the bytes that space() and front() return: those
/// only their own thread touches.
class DelayLine {
 public:
  using Time = ShaperClock::Time;

  /// Holds `capacity` bytes. Bytes arrive `delay` after they crossed the line.
  DelayLine(double bytes_per_second, ShaperClock::Duration delay, std::size_t capacity);

  /// Memory for the next bytes, in one piece; empty if the line is full.
  [[nodiscard]] std::span<std::byte> space() noexcept;
  /// The first `bytes` of space() were written; they are ready to cross at `ready`.
  void add(std::size_t bytes, Time ready);

  [[nodiscard]] bool empty() const noexcept { return used_ == 0; }
  /// True if there is space worth waking a thread for.
  [[nodiscard]] bool roomy() const noexcept;
  /// How many of the next bytes came in one go, without a pause between them.
  [[nodiscard]] std::size_t run() const noexcept;
  /// When the first `bytes` (1 to run()) have arrived.
  [[nodiscard]] Time due(std::size_t bytes) const;
  /// How many of run() have arrived by `now`.
  [[nodiscard]] std::size_t arrived(Time now) const;
  /// The next bytes, in one piece, at most `most` of them.
  [[nodiscard]] std::span<const std::byte> front(std::size_t most) const noexcept;
  /// Forgets the first `bytes`, at most run().
  void drop(std::size_t bytes) noexcept;

 private:
  /// Bytes that follow each other without a pause: byte n of them has crossed n byte times after
  /// `start`.
  struct Run {
    Time start;
    std::uint64_t dropped = 0;
    std::uint64_t added = 0;
  };

  [[nodiscard]] const Run& first_run() const noexcept { return runs_[first_run_]; }

  SerialLine line_;
  const ShaperClock::Duration delay_;
  const std::size_t capacity_;
  const std::unique_ptr<std::byte[]> bytes_;
  std::size_t head_ = 0;  ///< of the ring bytes_: the next byte
  std::size_t used_ = 0;
  std::vector<Run> runs_;  ///< a ring, too
  std::size_t first_run_ = 0;
  std::size_t run_count_ = 0;
};

}  // namespace airlock
