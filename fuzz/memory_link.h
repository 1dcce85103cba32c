// A link whose peer is a block of bytes: what it says is all there from the start, what it is told
// is forgotten. One thread, no waiting, so that a fuzzer runs tens of thousands of them a second.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/link/link.h"

namespace airlock::fuzzing {

class MemoryLink final : public Link {
 public:
  explicit MemoryLink(std::vector<std::byte> says) : says_(std::move(says)) {}

  void send(std::span<const std::span<const std::byte>> parts) override {
    require(!closed_, ErrorCode::kConnectionLost, "closed");
    for (const auto& part : parts) {
      // Reads every byte, so that MSan and ASan see what would have been sent.
      for (const std::byte byte : part)
        sum_ = static_cast<std::uint8_t>(sum_ + std::to_integer<int>(byte));
      sent_ += part.size();
    }
  }
  void receive(std::span<const std::span<std::byte>> parts) override {
    for (const auto& part : parts) {
      require(!closed_ && part.size() <= says_.size() - at_, ErrorCode::kConnectionLost, "the end");
      if (!part.empty()) std::memcpy(part.data(), says_.data() + at_, part.size());
      at_ += part.size();
    }
  }
  std::size_t receive_some(std::span<std::byte> into) override {
    require(!closed_, ErrorCode::kConnectionLost, "closed");
    const std::size_t count = std::min(into.size(), says_.size() - at_);
    if (count > 0) std::memcpy(into.data(), says_.data() + at_, count);
    at_ += count;
    return count;
  }
  bool wait_readable(std::optional<std::chrono::milliseconds>) override {
    return !closed_ && at_ < says_.size();
  }
  void set_stall_timeout(std::chrono::milliseconds) override {}
  void close() noexcept override { closed_ = true; }
  std::uint64_t bytes_sent() const noexcept override { return sent_; }
  std::uint64_t bytes_received() const noexcept override { return at_; }
  LinkTraits traits() const noexcept override { return {}; }
  Transport transport() const noexcept override { return Transport::kInproc; }
  const std::string& peer() const noexcept override { return peer_; }

 private:
  const std::vector<std::byte> says_;
  const std::string peer_ = "memory";
  std::size_t at_ = 0;
  std::uint64_t sent_ = 0;
  std::uint8_t sum_ = 0;
  bool closed_ = false;
};

}  // namespace airlock::fuzzing
