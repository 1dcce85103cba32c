// What a fuzzer's bytes mean as one side of a conversation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "airlock/core/log.h"
#include "airlock/wire/frame.h"

#include "tests/support/raw_peer.h"

namespace airlock::fuzzing {

/// Hardly any random bytes make a frame. So the first byte chooses: 0 takes the rest as a stream,
/// else the rest is a list of frames, {type, request id, message length / 8, payload length (2
/// bytes), message}, whose headers are built here and whose payloads are zeros.
inline testing::Bytes stream_of(std::span<const std::uint8_t> input) {
  const auto bytes = std::as_bytes(input);
  if (bytes.empty() || input[0] == 0)
    return testing::copy_of(bytes.subspan(std::min<std::size_t>(1, bytes.size())));
  testing::Bytes stream;
  std::size_t at = 1;
  while (at + 5 <= bytes.size() && stream.size() < (1 << 18)) {
    const std::size_t length = std::min<std::size_t>(8 * input[at + 2], bytes.size() - at - 5);
    const std::size_t payload = input[at + 3] + 256 * input[at + 4];
    testing::append(stream,
                    testing::frame_bytes(static_cast<FrameType>(input[at]), input[at + 1],
                                         bytes.subspan(at + 5, length), testing::Bytes(payload)));
    at += 5 + length;
  }
  return stream;
}

/// Diagnostics would drown the fuzzer's own lines.
inline void silence_log() {
  static const bool done = (set_log_level(LogLevel::kOff), true);
  static_cast<void>(done);
}

}  // namespace airlock::fuzzing
