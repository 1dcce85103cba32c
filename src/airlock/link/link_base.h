// What every transport's Link keeps: its peer's name, its counters, its stall timeout.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/link/link.h"
#include "airlock/link/wait.h"

namespace airlock {

/// State shared by the transports in this room. Thread-safe as Link says.
class LinkBase : public Link {
 public:
  void set_stall_timeout(std::chrono::milliseconds timeout) override {
    stall_ms_.store(timeout.count(), std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept override { return sent_; }
  [[nodiscard]] std::uint64_t bytes_received() const noexcept override { return received_; }
  [[nodiscard]] Transport transport() const noexcept override { return transport_; }
  [[nodiscard]] const std::string& peer() const noexcept override { return peer_; }

 protected:
  LinkBase(Transport transport, std::string peer) : transport_(transport), peer_(std::move(peer)) {}

  void count_sent(std::size_t bytes) noexcept { sent_.fetch_add(bytes, std::memory_order_relaxed); }
  void count_received(std::size_t bytes) noexcept {
    received_.fetch_add(bytes, std::memory_order_relaxed);
  }
  [[nodiscard]] Limit stall_limit() const noexcept {
    return limit_of(std::chrono::milliseconds(stall_ms_.load(std::memory_order_relaxed)));
  }

  [[noreturn]] void fail_stalled(const char* verb, std::size_t left) const {
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
  const std::string peer_;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::int64_t> stall_ms_{0};
};

}  // namespace airlock
