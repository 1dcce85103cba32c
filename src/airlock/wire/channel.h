// Frames over a link: sends a message with its tensors in one scatter-gather call, receives one
// with every length checked before anything is allocated, and counts both kinds of bytes.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "airlock/link/link.h"
#include "airlock/wire/frame.h"

namespace airlock {

/// Bytes of one frame, or of several, counted where they were written or read.
struct FrameBytes {
  std::int64_t payload = 0;   ///< bytes of tensors
  std::int64_t overhead = 0;  ///< header, message and padding
};

/// A frame whose header and message have arrived; its tensors wait in the link.
struct IncomingFrame {
  FrameType type = FrameType::kHello;
  std::uint64_t request_id = 0;
  std::uint64_t payload_bytes = 0;
  std::span<const std::byte> message;  ///< 64-byte aligned, valid until the next receive
};

/// One end of a conversation. Owns its link. One thread may send while another receives.
class Channel {
 public:
  /// `max_payload_bytes` caps what a peer may announce.
  Channel(std::unique_ptr<Link> link, std::uint64_t max_payload_bytes);

  /// Sends one frame, with `descriptor` unless it is -1. Throws as Link::send does.
  FrameBytes send(FrameType type, std::uint64_t request_id, std::span<const std::byte> message,
                  std::span<const std::span<const std::byte>> tensors = {},
                  Layout layout = Layout::kAligned, int descriptor = -1);

  /// Waits for a frame (without limit unless `timeout` is given) and reads it up to its payload.
  /// Nothing if the peer ended the conversation between frames. Throws Error(kProtocol) for a frame
  /// that breaks the rules, and as Link::receive does.
  std::optional<IncomingFrame> receive(std::optional<std::chrono::milliseconds> timeout);

  /// Reads the payload of the frame just received into these tensors. Throws Error(kProtocol) if
  /// they do not fill it exactly.
  void receive_tensors(std::span<const std::span<std::byte>> tensors,
                       Layout layout = Layout::kAligned);

  /// Reads and forgets the payload of the frame just received.
  void discard_payload();

  /// Bytes of the frame just received: the payload counted so far, the rest as overhead.
  [[nodiscard]] FrameBytes received_bytes() const;

  [[nodiscard]] Link& link() noexcept { return *link_; }
  [[nodiscard]] const Link& link() const noexcept { return *link_; }

 private:
  static constexpr std::size_t kMaxParts = 8;

  std::unique_ptr<Link> link_;
  std::uint64_t max_payload_bytes_;
  std::vector<std::byte> head_;  ///< header, message and padding of the frame being sent
  std::vector<std::byte> inbox_;
  std::uint64_t received_before_ = 0;  ///< link's counter when the current frame began
  std::int64_t received_payload_ = 0;
  std::uint64_t pending_payload_ = 0;
};

}  // namespace airlock
