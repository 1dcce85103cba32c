#include "airlock/link/delay_line.h"

#include <algorithm>

namespace airlock {
namespace {

// Pauses between bytes that are under way at the same time: one a small frame, at most. Beyond
// that the line counts as full.
constexpr std::size_t kMaxRuns = 4096;

// A switch of threads is nothing against the copy of so much.
constexpr std::size_t kRoom = 128 << 10;

}  // namespace

DelayLine::DelayLine(double bytes_per_second, ShaperClock::Duration delay, std::size_t capacity)
    : line_(bytes_per_second),
      delay_(delay),
      capacity_(capacity),
      bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity)),
      runs_(kMaxRuns) {}

std::span<std::byte> DelayLine::space() noexcept {
  if (used_ == capacity_ || run_count_ == kMaxRuns) return {};
  const std::size_t tail = (head_ + used_) % capacity_;
  return {bytes_.get() + tail, std::min(capacity_ - used_, capacity_ - tail)};
}

void DelayLine::add(std::size_t bytes, Time ready) {
  line_.carry(ready, bytes);
  used_ += bytes;
  if (run_count_ > 0) {
    Run& last = runs_[(first_run_ + run_count_ - 1) % kMaxRuns];
    if (last.start == line_.start()) {
      last.added = line_.carried();
      return;
    }
  }
  runs_[(first_run_ + run_count_++) % kMaxRuns] = {line_.start(), line_.carried() - bytes,
                                                   line_.carried()};
}

bool DelayLine::roomy() const noexcept {
  return capacity_ - used_ >= std::min(capacity_ / 2, kRoom) && run_count_ <= kMaxRuns / 2;
}

std::size_t DelayLine::run() const noexcept {
  return empty() ? 0 : first_run().added - first_run().dropped;
}

DelayLine::Time DelayLine::due(std::size_t bytes) const {
  return first_run().start + line_.time_of(first_run().dropped + bytes) + delay_;
}

std::size_t DelayLine::arrived(Time now) const {
  if (empty() || now < due(1)) return 0;
  const double crossed = line_.bytes_in(now - delay_ - first_run().start);
  const double since = crossed - static_cast<double>(first_run().dropped);
  // The first has arrived; rounding must not say otherwise.
  return static_cast<std::size_t>(std::clamp(since, 1., static_cast<double>(run())));
}

std::span<const std::byte> DelayLine::front(std::size_t most) const noexcept {
  return {bytes_.get() + head_, std::min(most, capacity_ - head_)};
}

void DelayLine::drop(std::size_t bytes) noexcept {
  head_ = (head_ + bytes) % capacity_;
  used_ -= bytes;
  Run& run = runs_[first_run_];
  run.dropped += bytes;
  if (run.dropped < run.added) return;
  first_run_ = (first_run_ + 1) % kMaxRuns;
  --run_count_;
}

}  // namespace airlock
