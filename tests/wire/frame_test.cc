#include "airlock/wire/frame.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::frame_test {
namespace {

using Header = std::array<std::byte, FrameHeader::kBytes>;

std::string refusal(const Header& bytes, std::uint64_t max_payload) {
  try {
    decode_header(bytes, max_payload);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol);
    return error.what();
  }
  return "";
}

TEST(FrameHeader, IsThese32Bytes) {
  const FrameHeader header{FrameType::kCall, 0x0102030405060708, 0x0a0b, 0x1122334455667788};
  const std::array<unsigned char, 32> golden = {
      'A',  'R',  'L',  'K',                           // magic
      2,    0,                                         // version
      3,    0,                                         // type: Call
      0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,  // request id
      0x0b, 0x0a, 0,    0,                             // message length
      0,    0,    0,    0,                             // reserved
      0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  // payload length
  };
  const Header bytes = encode_header(header);
  EXPECT_EQ(std::memcmp(bytes.data(), golden.data(), golden.size()), 0);
}

TEST(FrameHeader, SurvivesEncodingAndDecoding) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const FrameHeader header{static_cast<FrameType>(1 + random() % 7), random(),
                             static_cast<std::uint32_t>(random() % 16385), random()};
    const FrameHeader back =
        decode_header(encode_header(header), std::numeric_limits<std::uint64_t>::max());
    EXPECT_EQ(back.type, header.type);
    EXPECT_EQ(back.request_id, header.request_id);
    EXPECT_EQ(back.message_bytes, header.message_bytes);
    EXPECT_EQ(back.payload_bytes, header.payload_bytes);
  }
}

TEST(FrameHeader, RefusesEveryViolationWithItsReason) {
  struct Case {
    std::function<void(FrameHeader&, Header&)> spoil;
    const char* reason;
  };
  const auto set = [](std::size_t at, unsigned value) {
    return [=](FrameHeader&, Header& bytes) { bytes[at] = static_cast<std::byte>(value); };
  };
  const Case cases[] = {
      {set(0, 'H'), "does not speak the Airlock protocol"},
      {set(3, 'k'), "does not speak the Airlock protocol"},
      {set(4, 1), "version 1 of the Airlock protocol, expected 2"},
      {set(5, 1), "version 258 of the Airlock protocol, expected 2"},
      {set(6, 0), "unknown type 0"},
      {set(6, 12), "unknown type 12"},
      {set(7, 1), "unknown type 259"},
      {set(20, 1), "reserved word is not 0"},
      {set(23, 0x80), "reserved word is not 0"},
      {set(18, 1), "message of 65544 bytes, at most 16384"},
      {set(19, 0xff), "message of 4278190088 bytes"},
      {set(31, 0x10), "payload of 1152921504606847976 bytes, at most 1000"},
      {set(31, 0xff), "at most 1000 are allowed"},
  };
  for (const Case& c : cases) {
    FrameHeader header{FrameType::kCall, 5, 8, 1000};
    Header bytes = encode_header(header);
    ASSERT_EQ(refusal(bytes, 1000), "");
    c.spoil(header, bytes);
    EXPECT_NE(refusal(bytes, 1000).find(c.reason), std::string::npos)
        << refusal(bytes, 1000) << "\n  expected: " << c.reason;
  }
}

TEST(FrameHeader, TakesLengthsUpToTheirBoundsAndNoFurther) {
  FrameHeader header{FrameType::kCall, 5, FrameHeader::kMaxMessageBytes, 77};
  EXPECT_EQ(refusal(encode_header(header), 77), "");
  EXPECT_NE(refusal(encode_header(header), 76), "");
  ++header.message_bytes;
  EXPECT_NE(refusal(encode_header(header), 77), "");
}

TEST(FrameHeader, ReadsRandomBytesOrThrowsProtocol) {
  std::mt19937_64 random(2);
  const Header good = encode_header({FrameType::kReply, 1, 100, 1 << 20});
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    Header bytes = good;
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
      bytes[random() % bytes.size()] ^= static_cast<std::byte>(1U << random() % 8);
    }
    if (refusal(bytes, 1 << 21).empty()) ++accepted;
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 20000);
}

TEST(PayloadBytes, PutsEveryTensorButTheFirstOnABoundary) {
  struct Case {
    std::vector<std::int64_t> tensors;
    std::uint64_t bytes;
  };
  for (const Case& c : {Case{{}, 0}, Case{{1}, 1}, Case{{64, 64}, 128}, Case{{1, 1}, 65},
                        Case{{65, 1, 3}, 195}, Case{{0, 5}, 5}, Case{{5, 0, 1}, 65}}) {
    EXPECT_EQ(payload_bytes_of(c.tensors), c.bytes);
  }
}

TEST(PayloadBytes, RefusesNegativeSizesAndMoreThan63Bits) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(payload_bytes_of(std::array<std::int64_t, 1>{kMost}),
            static_cast<std::uint64_t>(kMost));
  for (const std::vector<std::int64_t>& tensors : {std::vector<std::int64_t>{-1},
                                                   {1, kMost},
                                                   {kMost, 1},
                                                   {kMost, kMost, kMost},
                                                   {1, kMost - 63},
                                                   {kMost - 63, kMost, 2},
                                                   {0, kMost, 0, kMost}}) {
    EXPECT_THROW(payload_bytes_of(tensors), Error);
  }
}

TEST(Padding, ReachesTheNextBoundary) {
  for (std::uint64_t offset = 0; offset < 300; ++offset) {
    EXPECT_EQ((offset + padding_after(offset)) % kTensorAlignment, 0U);
    EXPECT_LT(padding_after(offset), kTensorAlignment);
  }
}

}  // namespace
}  // namespace airlock::frame_test
