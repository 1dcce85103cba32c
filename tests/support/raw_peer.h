// One end of a link for a test that plays a peer byte by byte: correct frames, or anything else.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/link/link.h"
#include "airlock/wire/frame.h"
#include "airlock/wire/message.h"

namespace airlock::testing {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::string_view text) {
  const auto* at = reinterpret_cast<const std::byte*>(text.data());
  return {at, at + text.size()};
}

inline Bytes copy_of(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

// Not inlined: GCC 12 would warn, in error, of what it believes to be overflows.
[[gnu::noinline]] inline void append(Bytes& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

struct RawFrame {
  FrameHeader header;
  Bytes message;
  Bytes payload;
};

/// A frame as docs/protocol.md says, from its parts; lengths are the header's own and may lie.
inline Bytes frame_bytes(const FrameHeader& header, std::span<const std::byte> message,
                         std::span<const std::byte> payload = {}) {
  const auto head = encode_header(header);
  Bytes bytes;
  bytes.reserve(head.size() + message.size() + payload.size() + kTensorAlignment);
  append(bytes, head);
  append(bytes, message);
  if (!payload.empty()) bytes.resize(bytes.size() + padding_after(bytes.size()));
  append(bytes, payload);
  return bytes;
}

/// The same with true lengths.
inline Bytes frame_bytes(FrameType type, std::uint64_t id, std::span<const std::byte> message,
                         std::span<const std::byte> payload = {}) {
  return frame_bytes({type, id, static_cast<std::uint32_t>(message.size()), payload.size()},
                     message, payload);
}

template <typename Message>
Bytes message_bytes(const Message& message) {
  MessageBuilder builder;
  return copy_of(builder.build(message));
}

class RawPeer {
 public:
  explicit RawPeer(std::unique_ptr<Link> link) : link_(std::move(link)) {
    link_->set_stall_timeout(std::chrono::seconds(30));  // a test that hangs should say where
  }

  void send(std::span<const std::byte> bytes) { link_->send(bytes); }
  void send(FrameType type, std::uint64_t id, std::span<const std::byte> message,
            std::span<const std::byte> payload = {}) {
    send(frame_bytes(type, id, message, payload));
  }
  void hello(const FingerprintBytes& fingerprint) {
    send(FrameType::kHello, 0, message_bytes(HelloMessage{fingerprint, "raw peer"}));
  }

  /// The next frame, whole; nothing if the other end closed.
  std::optional<RawFrame> read() {
    if (!link_->wait_readable(std::chrono::seconds(30))) return std::nullopt;
    std::array<std::byte, FrameHeader::kBytes> header;
    link_->receive(header);
    RawFrame frame;
    frame.header = decode_header(header, 1 << 30);
    frame.message.resize(frame.header.message_bytes);
    link_->receive(frame.message);
    Bytes padding(frame.header.payload_bytes > 0
                      ? padding_after(FrameHeader::kBytes + frame.message.size())
                      : 0);
    link_->receive(padding);
    frame.payload.resize(frame.header.payload_bytes);
    link_->receive(frame.payload);
    return frame;
  }
  /// The next frame, which must be a Failure.
  FailureMessage read_failure() {
    const auto frame = read();
    require(frame && frame->header.type == FrameType::kFailure, ErrorCode::kInternal,
            "expected a Failure, got {}",
            frame ? fmt::format("type {}", static_cast<int>(frame->header.type)) : "the end");
    return parse_failure(frame->message);
  }
  void close() { link_->close(); }
  Link& link() { return *link_; }

 private:
  std::unique_ptr<Link> link_;
};

}  // namespace airlock::testing
