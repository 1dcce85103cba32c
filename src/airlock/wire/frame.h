// The fixed header in front of every message, and the arithmetic of alignment behind it.
// docs/protocol.md is the text of this file for somebody who writes another client.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace airlock {

/// What a frame carries. The values travel: append only, never renumber.
enum class FrameType : std::uint16_t {
  kHello = 1,         ///< runner: opens a session
  kWelcome = 2,       ///< worker: the session is open
  kCall = 3,          ///< runner: one operator, tensors follow
  kReply = 4,         ///< worker: its outputs follow
  kFailure = 5,       ///< worker: the call (or Hello) failed; the session goes on unless it closes
  kStatsRequest = 6,  ///< runner: no message
  kStats = 7,         ///< worker
  kShare = 8,         ///< runner: a descriptor of shared memory comes along; no answer
  kProbe = 9,         ///< runner: bytes that mean nothing, to measure the link
  kProbed = 10,       ///< worker: no message, the bytes that were asked for
  kEndSequence = 11,  ///< runner: a sequence whose KV cache is to be freed; no answer
};

/// 32 bytes, little-endian, in this order without padding: magic, version, type, request id, header
/// length, reserved (0), payload length.
struct FrameHeader {
  static constexpr std::size_t kBytes = 32;
  static constexpr std::uint32_t kMagic = 0x4b4c5241;  ///< "ARLK"
  static constexpr std::uint16_t kVersion = 2;
  /// Longest message: a Call of three tensors takes about 120 bytes, a Failure text some hundreds.
  static constexpr std::uint32_t kMaxMessageBytes = 16384;

  FrameType type = FrameType::kHello;
  std::uint64_t request_id = 0;
  std::uint32_t message_bytes = 0;
  std::uint64_t payload_bytes = 0;  ///< from the first tensor's first byte to the last one's last
};

/// Tensors start at multiples of this many bytes from the start of their frame.
inline constexpr std::size_t kTensorAlignment = 64;

/// Bytes that bring `offset` up to the next multiple of kTensorAlignment.
constexpr std::uint64_t padding_after(std::uint64_t offset) noexcept {
  return (kTensorAlignment - offset % kTensorAlignment) % kTensorAlignment;
}

/// How tensors lie behind one another in a payload.
enum class Layout : std::uint8_t {
  kAligned,  ///< each at a multiple of kTensorAlignment
  kPacked,   ///< without padding: where any of them is compressed
};

/// Zeros between `offset` and the next tensor.
constexpr std::uint64_t gap_after(std::uint64_t offset, Layout layout) noexcept {
  return layout == Layout::kAligned ? padding_after(offset) : 0;
}

/// payload_bytes of tensors of these sizes laid out one behind the other. Throws Error(kProtocol)
/// for a negative size and past 2^63 - 1.
std::uint64_t payload_bytes_of(std::span<const std::int64_t> tensor_bytes,
                               Layout layout = Layout::kAligned);

/// The header as it travels.
std::array<std::byte, FrameHeader::kBytes> encode_header(const FrameHeader& header) noexcept;

/// Reads a header. Throws Error(kProtocol) if the magic, the version, the type, the reserved word
/// or a length is not what this protocol allows; `max_payload_bytes` caps the payload.
FrameHeader decode_header(std::span<const std::byte, FrameHeader::kBytes> bytes,
                          std::uint64_t max_payload_bytes);

}  // namespace airlock
