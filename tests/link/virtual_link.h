// A network in virtual time, for tests of what waits: a clock that jumps when all sleep, and a far
// end that writes down when bytes reach it and says its own at set times.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "airlock/link/link.h"
#include "airlock/link/shaper_clock.h"

namespace airlock {

/// Stands still while any of its threads works; when all of them wait it jumps to the first time
/// that one of them waits for. What a test measures by it is the same on any machine.
class VirtualClock final : public ShaperClock {
 public:
  /// `threads`: how many wait by this clock. Sleeps with a time last `late` longer than asked.
  explicit VirtualClock(std::size_t threads, Duration late = Duration::zero())
      : threads_(threads), late_(late) {}

  [[nodiscard]] Time now() override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  void wait(const Alarm& alarm, std::optional<Time> until, const StopToken& stop) override {
    if (until && *until > now()) *until += late_;
    std::unique_lock lock(mutex_);
    const Waiter self{alarm, until};
    waiters_.push_back(&self);
    while (!wakes(self) && !stop.stopped()) {
      if (!advance()) moved_.wait_for(lock, kLook);
    }
    std::erase(waiters_, &self);
    stop.throw_if_stopped();
  }

  /// One thread fewer waits by this clock.
  void leave() {
    const std::lock_guard lock(mutex_);
    --threads_;
  }
  /// For a thread of its own: waits for `duration`.
  void sleep(Duration duration) {
    const Alarm never;
    wait(never, now() + duration, {});
  }
  /// Returns, in real time, once so many threads wait.
  void await_waiters(std::size_t count) {
    std::unique_lock lock(mutex_);
    while (waiters_.size() < count) moved_.wait_for(lock, kLook);
  }

 private:
  /// Alarms do not tell this clock that they were set: it looks, so often in real time.
  static constexpr std::chrono::microseconds kLook{100};

  struct Waiter {
    const Alarm& alarm;
    std::optional<Time> until;
  };

  [[nodiscard]] bool wakes(const Waiter& waiter) const {
    return (waiter.until && *waiter.until <= now_) || waiter.alarm.is_set();
  }
  /// Jumps if everybody sleeps and somebody waits for a time.
  bool advance() {
    if (waiters_.size() < threads_) return false;
    std::optional<Time> first;
    for (const Waiter* waiter : waiters_) {
      if (wakes(*waiter)) return false;
      if (waiter->until) first = std::min(*waiter->until, first.value_or(*waiter->until));
    }
    if (!first) return false;
    now_ = *first;
    moved_.notify_all();
    return true;
  }

  std::mutex mutex_;
  std::condition_variable moved_;
  std::size_t threads_;
  const Duration late_;
  Time now_{std::chrono::hours(1000)};
  std::vector<const Waiter*> waiters_;
};

/// A link without a network behind it.
class FarEnd final : public Link {
 public:
  using Time = ShaperClock::Time;

  struct Arrival {
    Time at;
    std::size_t bytes = 0;
  };

  explicit FarEnd(VirtualClock& clock) : clock_(clock) {}

  /// The far end's bytes (a count from 0, modulo 256) reach the inner link at `at`.
  void say(Time at, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    said_.push_back({at, bytes});
    alarm_.set();
  }
  /// After what was said, at `at`: the connection ends, cleanly unless with an error.
  void end(Time at, std::optional<Error> error = std::nullopt) {
    const std::lock_guard lock(mutex_);
    end_ = at;
    error_ = std::move(error);
    alarm_.set();
  }
  /// Calls `answer` with every message that arrives, on the sending thread.
  void on_arrival(std::function<void(const Arrival&)> answer) { answer_ = std::move(answer); }
  /// What comes next is taken only at `at`.
  void hold_until(Time at) { held_until_ = at; }

  /// What was sent to it, and how much of what it said was taken. Not while a send is under way.
  [[nodiscard]] const std::vector<Arrival>& arrivals() const { return arrivals_; }
  [[nodiscard]] std::uint64_t taken() const { return taken_; }

  void send(std::span<const std::span<const std::byte>> parts) override {
    std::size_t bytes = 0;
    for (const auto& part : parts) bytes += part.size();
    while (clock_.now() < held_until_) clock_.wait(never_, held_until_, {});
    sent_ += bytes;
    arrivals_.push_back({clock_.now(), bytes});
    if (answer_) answer_(arrivals_.back());
  }
  void receive(std::span<const std::span<std::byte>> /*parts*/) override {
    fail(ErrorCode::kInternal, "a shaped link takes what is there");
  }
  [[nodiscard]] std::size_t receive_some(std::span<std::byte> into) override {
    if (!wait_readable(std::nullopt)) return 0;
    const std::lock_guard lock(mutex_);
    const std::size_t bytes = std::min(into.size(), said_.front().bytes);
    for (std::byte& byte : into.first(bytes)) byte = static_cast<std::byte>(taken_++);
    said_.front().bytes -= bytes;
    if (said_.front().bytes == 0) said_.pop_front();
    return bytes;
  }
  bool wait_readable(std::optional<std::chrono::milliseconds> /*timeout*/) override {
    std::unique_lock lock(mutex_);
    while (!closed_) {
      std::optional<Time> next = end_;
      if (!said_.empty()) next = said_.front().at;
      if (next && *next <= clock_.now()) {
        if (!said_.empty()) return true;
        // Who reads learns that nothing comes any more, and will not wait again.
        if (!std::exchange(told_, true)) clock_.leave();
        if (error_) throw Error(*error_);
        return false;
      }
      lock.unlock();
      clock_.wait(alarm_, next, {});
      lock.lock();
      alarm_.clear();
    }
    return false;
  }
  void set_stall_timeout(std::chrono::milliseconds) override {}
  void close() noexcept override {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    alarm_.set();
  }
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept override { return sent_; }
  [[nodiscard]] std::uint64_t bytes_received() const noexcept override { return taken_; }
  [[nodiscard]] LinkTraits traits() const noexcept override { return {}; }
  [[nodiscard]] Transport transport() const noexcept override { return Transport::kTcp; }
  [[nodiscard]] const std::string& peer() const noexcept override { return peer_; }

 private:
  VirtualClock& clock_;
  const std::string peer_ = "far end";
  std::function<void(const Arrival&)> answer_;
  std::vector<Arrival> arrivals_;
  Time held_until_{};
  const Alarm never_;
  std::uint64_t sent_ = 0;

  std::mutex mutex_;
  Alarm alarm_;
  std::deque<Arrival> said_;
  std::optional<Time> end_;
  std::optional<Error> error_;
  bool closed_ = false;
  bool told_ = false;  ///< that it ended
  std::atomic<std::uint64_t> taken_ = 0;
};

}  // namespace airlock
