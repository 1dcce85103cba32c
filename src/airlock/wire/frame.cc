#include "airlock/wire/frame.h"

#include <cstring>
#include <limits>

#include "airlock/core/error.h"
#include "airlock/wire/little_endian.h"

namespace airlock {

std::uint64_t payload_bytes_of(std::span<const std::int64_t> tensor_bytes, Layout layout) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::uint64_t total = 0;
  for (const std::int64_t bytes : tensor_bytes) {
    total += gap_after(total, layout);
    const auto more = static_cast<std::uint64_t>(bytes);
    require(bytes >= 0 && total <= kMost && more <= kMost - total, ErrorCode::kProtocol,
            "tensors of more than 2^63 bytes in one message");
    total += more;
  }
  return total;
}

std::array<std::byte, FrameHeader::kBytes> encode_header(const FrameHeader& header) noexcept {
  std::array<std::byte, FrameHeader::kBytes> bytes{};
  put<std::uint32_t>(&bytes[0], FrameHeader::kMagic);
  put<std::uint16_t>(&bytes[4], FrameHeader::kVersion);
  put<std::uint16_t>(&bytes[6], static_cast<std::uint16_t>(header.type));
  put<std::uint64_t>(&bytes[8], header.request_id);
  put<std::uint32_t>(&bytes[16], header.message_bytes);
  put<std::uint64_t>(&bytes[24], header.payload_bytes);
  return bytes;
}

FrameHeader decode_header(std::span<const std::byte, FrameHeader::kBytes> bytes,
                          std::uint64_t max_payload_bytes) {
  const auto magic = get<std::uint32_t>(&bytes[0]);
  require(magic == FrameHeader::kMagic, ErrorCode::kProtocol,
          "the peer does not speak the Airlock protocol (its first bytes are {:#010x}, expected "
          "{:#010x})",
          magic, FrameHeader::kMagic);
  const auto version = get<std::uint16_t>(&bytes[4]);
  require(version == FrameHeader::kVersion, ErrorCode::kProtocol,
          "the peer speaks version {} of the Airlock protocol, expected {}", version,
          FrameHeader::kVersion);
  const auto type = get<std::uint16_t>(&bytes[6]);
  require(type >= static_cast<std::uint16_t>(FrameType::kHello) &&
              type <= static_cast<std::uint16_t>(FrameType::kEndSequence),
          ErrorCode::kProtocol, "a frame has the unknown type {}", type);
  FrameHeader header;
  header.type = static_cast<FrameType>(type);
  header.request_id = get<std::uint64_t>(&bytes[8]);
  header.message_bytes = get<std::uint32_t>(&bytes[16]);
  header.payload_bytes = get<std::uint64_t>(&bytes[24]);
  require(get<std::uint32_t>(&bytes[20]) == 0, ErrorCode::kProtocol,
          "a frame's reserved word is not 0");
  require(header.message_bytes <= FrameHeader::kMaxMessageBytes, ErrorCode::kProtocol,
          "a frame claims a message of {} bytes, at most {} are allowed", header.message_bytes,
          FrameHeader::kMaxMessageBytes);
  require(header.payload_bytes <= max_payload_bytes, ErrorCode::kProtocol,
          "a frame claims a payload of {} bytes, at most {} are allowed", header.payload_bytes,
          max_payload_bytes);
  return header;
}

}  // namespace airlock
