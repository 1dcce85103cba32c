// What every transport's Link keeps: its traits, its peer's name, its counters, its limits of time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/link/link.h"
#include "airlock/link/link_options.h"
#include "airlock/link/wait.h"

namespace airlock {

/// State shared by the transports in this room. Thread-safe as Link says.
class LinkBase : public Link {
 public:
  void set_stall_timeout(std::chrono::milliseconds timeout) override {
    stall_ms_.store(timeout.count(), std::memory_order_relaxed);
  }
  void set_least_rate(double bytes_per_second) override {
    least_rate_.store(bytes_per_second, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept override { return sent_; }
  [[nodiscard]] std::uint64_t bytes_received() const noexcept override { return received_; }
  [[nodiscard]] LinkTraits traits() const noexcept override { return traits_; }
  [[nodiscard]] Transport transport() const noexcept override { return transport_; }
  [[nodiscard]] const std::string& peer() const noexcept override { return peer_; }

 protected:
  LinkBase(Transport transport, const LinkTraits& traits, std::string peer,
           const LinkOptions& options)
      : transport_(transport),
        traits_(traits),
        peer_(std::move(peer)),
        stop_(options.stop),
        stall_ms_(options.stall_timeout.count()),
        least_rate_(options.least_rate) {}

  void count_sent(std::size_t bytes) noexcept { sent_.fetch_add(bytes, std::memory_order_relaxed); }
  void count_received(std::size_t bytes) noexcept {
    received_.fetch_add(bytes, std::memory_order_relaxed);
  }
  [[nodiscard]] const StopToken& stop() const noexcept { return stop_; }
  [[nodiscard]] double least_rate() const noexcept {
    return least_rate_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] Limit stall_limit() const noexcept {
    return limit_of(std::chrono::milliseconds(stall_ms_.load(std::memory_order_relaxed)));
  }

  /// Of a message that begins now.
  [[nodiscard]] Patience patience() const noexcept { return {stall_limit(), least_rate()}; }
  /// Of the message that is being received, on the terms of now: the receiving thread's.
  [[nodiscard]] Patience& receiving() noexcept {
    receiving_.set_terms(stall_limit(), least_rate());
    if (!(least_rate() > 0)) receiving_.renew();  // then every wait is on its own
    return receiving_;
  }

  [[noreturn]] void fail_stalled(const char* verb, std::size_t left) const {
    if (least_rate() > 0) {
      fail(ErrorCode::kTimeout,
           "{}: fewer than {:.0f} bytes a second moved for {} ms, with {} bytes left to {}", peer_,
           least_rate(), stall_ms_.load(std::memory_order_relaxed), left, verb);
    }
    fail(ErrorCode::kTimeout, "{}: no byte moved for {} ms, with {} bytes left to {}", peer_,
         stall_ms_.load(std::memory_order_relaxed), left, verb);
  }
  [[noreturn]] void fail_lost(const char* verb, std::size_t left, const char* reason) const {
    fail(ErrorCode::kConnectionLost, "{}: connection lost with {} bytes left to {}: {}", peer_,
         left, verb, reason);
  }
  [[noreturn]] void fail_silent(Limit timeout) const {
    fail(ErrorCode::kTimeout, "{}: nothing arrived for {} ms", peer_, timeout->count());
  }

 private:
  const Transport transport_;
  const LinkTraits traits_;
  const std::string peer_;
  const StopToken stop_;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::int64_t> stall_ms_;
  std::atomic<double> least_rate_;
  Patience receiving_;
};

}  // namespace airlock
