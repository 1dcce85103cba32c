// Headers and messages of a peer: read or refused with kProtocol, nothing else. What was read must
// build again and read the same.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "airlock/core/error.h"
#include "airlock/wire/frame.h"
#include "airlock/wire/message.h"

#include "tests/support/raw_peer.h"

namespace airlock {
namespace {

void check(bool ok) {
  if (!ok) std::abort();
}

void read(unsigned kind, std::span<const std::byte> bytes) {
  MessageBuilder builder;
  switch (kind) {
    case 0:
      if (bytes.size() >= FrameHeader::kBytes) {
        const FrameHeader header = decode_header(bytes.first<FrameHeader::kBytes>(), 1 << 30);
        const auto again = encode_header(header);
        check(std::equal(again.begin(), again.end(), bytes.begin()));
      }
      return;
    case 1:
      return check(parse_hello(builder.build(parse_hello(bytes))).client ==
                   parse_hello(bytes).client);
    case 2:
      return check(parse_welcome(builder.build(parse_welcome(bytes))).backend ==
                   parse_welcome(bytes).backend);
    case 3:
      return check(parse_call(builder.build(parse_call(bytes))) == parse_call(bytes));
    case 4:
      return check(parse_reply(builder.build(parse_reply(bytes))).outputs ==
                   parse_reply(bytes).outputs);
    case 5:
      return check(parse_failure(builder.build(parse_failure(bytes))).text ==
                   parse_failure(bytes).text);
    case 6:
      return check(parse_end_sequence(builder.build(parse_end_sequence(bytes))).sequence ==
                   parse_end_sequence(bytes).sequence);
    default:
      return check(parse_stats(builder.build(parse_stats(bytes))).kv_bytes ==
                   parse_stats(bytes).kv_bytes);
  }
}

}  // namespace
}  // namespace airlock

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // A block of its own: aligned as the channel's is, and ASan guards its end.
  const airlock::testing::Bytes bytes =
      airlock::testing::copy_of(std::as_bytes(std::span(data, size)).subspan(1));
  try {
    airlock::read(data[0] % 8, bytes);
  } catch (const airlock::Error& error) {
    if (error.code() != airlock::ErrorCode::kProtocol) std::abort();
  }
  return 0;
}
