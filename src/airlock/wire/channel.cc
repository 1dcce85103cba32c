#include "airlock/wire/channel.h"

#include <algorithm>
#include <cstring>

#include "airlock/core/error.h"

namespace airlock {
namespace {
constexpr std::array<std::byte, kTensorAlignment> kZeros{};

/// First 64-byte boundary inside `storage`, which has kTensorAlignment bytes to spare.
std::byte* aligned(std::vector<std::byte>& storage) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(storage.data());
  return storage.data() + padding_after(address);
}
}  // namespace

Channel::Channel(std::unique_ptr<Link> link, std::uint64_t max_payload_bytes)
    : link_(std::move(link)),
      max_payload_bytes_(max_payload_bytes),
      head_(FrameHeader::kBytes + FrameHeader::kMaxMessageBytes + kTensorAlignment),
      inbox_(FrameHeader::kMaxMessageBytes + kTensorAlignment) {}

FrameBytes Channel::send(FrameType type, std::uint64_t request_id,
                         std::span<const std::byte> message,
                         std::span<const std::span<const std::byte>> tensors, Layout layout,
                         int descriptor) {
  require(message.size() <= FrameHeader::kMaxMessageBytes && 2 * tensors.size() < kMaxParts,
          ErrorCode::kInternal, "a frame with a message of {} bytes and {} tensors", message.size(),
          tensors.size());
  std::array<std::span<const std::byte>, kMaxParts> parts;
  std::size_t count = 1;
  std::uint64_t payload = 0;
  FrameBytes bytes;
  for (const auto& tensor : tensors) {
    const std::uint64_t padding = gap_after(payload, layout);
    if (padding > 0) parts[count++] = std::span(kZeros).first(padding);
    parts[count++] = tensor;
    payload += padding + tensor.size();
    bytes.payload += static_cast<std::int64_t>(tensor.size());
  }
  const FrameHeader header{type, request_id, static_cast<std::uint32_t>(message.size()), payload};
  const auto encoded = encode_header(header);
  std::memcpy(head_.data(), encoded.data(), encoded.size());
  if (!message.empty()) std::memcpy(head_.data() + encoded.size(), message.data(), message.size());
  std::size_t head_bytes = encoded.size() + message.size();
  if (payload > 0) {
    const std::uint64_t padding = padding_after(head_bytes);
    std::memset(head_.data() + head_bytes, 0, padding);
    head_bytes += padding;
  }
  parts[0] = std::span(head_).first(head_bytes);
  const std::uint64_t before = link_->bytes_sent();
  if (descriptor >= 0) {
    link_->send_with_descriptor(std::span(parts).first(count), descriptor);
  } else {
    link_->send(std::span(parts).first(count));
  }
  bytes.overhead = static_cast<std::int64_t>(link_->bytes_sent() - before) - bytes.payload;
  return bytes;
}

std::optional<IncomingFrame> Channel::receive(std::optional<std::chrono::milliseconds> timeout) {
  require(pending_payload_ == 0, ErrorCode::kInternal, "a payload of {} bytes was not read",
          pending_payload_);
  if (!link_->wait_readable(timeout)) return std::nullopt;
  received_before_ = link_->bytes_received();
  received_payload_ = 0;
  std::array<std::byte, FrameHeader::kBytes> encoded;
  link_->receive(encoded);
  const FrameHeader header = decode_header(encoded, max_payload_bytes_);
  const std::uint64_t padding =
      header.payload_bytes > 0 ? padding_after(FrameHeader::kBytes + header.message_bytes) : 0;
  const std::span message(aligned(inbox_), header.message_bytes);
  std::array<std::byte, kTensorAlignment> skipped;
  const std::array<std::span<std::byte>, 2> parts = {message, std::span(skipped).first(padding)};
  link_->receive(parts);
  pending_payload_ = header.payload_bytes;
  return IncomingFrame{header.type, header.request_id, header.payload_bytes, message};
}

void Channel::receive_tensors(std::span<const std::span<std::byte>> tensors, Layout layout) {
  require(2 * tensors.size() < kMaxParts, ErrorCode::kInternal, "{} tensors in one frame",
          tensors.size());
  std::array<std::span<std::byte>, kMaxParts> parts;
  std::array<std::byte, kTensorAlignment> skipped;
  std::size_t count = 0;
  std::uint64_t payload = 0;
  for (const auto& tensor : tensors) {
    const std::uint64_t padding = gap_after(payload, layout);
    if (padding > 0) parts[count++] = std::span(skipped).first(padding);
    parts[count++] = tensor;
    payload += padding + tensor.size();
    received_payload_ += static_cast<std::int64_t>(tensor.size());
  }
  require(payload == pending_payload_, ErrorCode::kProtocol,
          "a frame carries {} bytes of tensors, its message describes {}", pending_payload_,
          payload);
  link_->receive(std::span(parts).first(count));
  pending_payload_ = 0;
}

void Channel::discard_payload() {
  std::array<std::byte, 16384> scrap;
  while (pending_payload_ > 0) {
    const std::uint64_t piece = std::min<std::uint64_t>(pending_payload_, scrap.size());
    link_->receive(std::span(scrap).first(piece));
    pending_payload_ -= piece;
  }
}

FrameBytes Channel::received_bytes() const {
  const auto all = static_cast<std::int64_t>(link_->bytes_received() - received_before_);
  return {received_payload_, all - received_payload_};
}

}  // namespace airlock
