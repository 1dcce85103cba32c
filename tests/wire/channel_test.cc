#include "airlock/wire/channel.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/wire/message.h"

#include "tests/support/link_pair.h"
#include "tests/support/raw_peer.h"
#include "tests/support/small_model.h"

namespace airlock::channel_test {
namespace {

using testing::Bytes;
using testing::frame_bytes;
using testing::make_ends;
using testing::RawPeer;
using namespace std::chrono_literals;

constexpr std::uint64_t kRoom = 1 << 20;

class ChannelTest : public ::testing::TestWithParam<Transport> {
 protected:
  ChannelTest() : ChannelTest(make_ends(GetParam())) {}
  explicit ChannelTest(testing::Ends ends)
      : channel(std::move(ends.first), kRoom), peer(std::move(ends.second)) {}
  Channel channel;
  RawPeer peer;
};

INSTANTIATE_TEST_SUITE_P(Transports, ChannelTest,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kTcp),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

Bytes random_bytes(std::size_t count, std::mt19937_64& random) {
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

std::vector<std::span<const std::byte>> views_of(const std::vector<Bytes>& tensors) {
  return {tensors.begin(), tensors.end()};
}

TEST_P(ChannelTest, EveryTensorStartsAtAMultipleOf64FromItsFrame) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 100; ++round) {
    const Bytes message = random_bytes(random() % 200, random);
    std::vector<Bytes> tensors;
    for (std::uint64_t n = random() % 4; n > 0; --n) {
      tensors.push_back(random_bytes(1 + random() % 300, random));
    }
    const FrameBytes sent = channel.send(FrameType::kCall, 9, message, views_of(tensors));

    Bytes expected(FrameHeader::kBytes);
    testing::append(expected, message);
    std::size_t payload_start = 0;
    std::int64_t payload = 0;
    for (const Bytes& tensor : tensors) {
      expected.resize((expected.size() + 63) / 64 * 64);
      if (payload_start == 0) payload_start = expected.size();
      testing::append(expected, tensor);
      payload += static_cast<std::int64_t>(tensor.size());
    }
    const FrameHeader header{FrameType::kCall, 9, static_cast<std::uint32_t>(message.size()),
                             tensors.empty() ? 0 : expected.size() - payload_start};
    const auto head = encode_header(header);
    std::copy(head.begin(), head.end(), expected.begin());

    Bytes stream(expected.size());
    peer.link().receive(stream);
    ASSERT_EQ(stream, expected);
    EXPECT_EQ(sent.payload, payload);
    EXPECT_EQ(sent.overhead, static_cast<std::int64_t>(expected.size()) - payload);
  }
  peer.close();
  EXPECT_EQ(peer.link().bytes_received(), channel.link().bytes_sent());
}

TEST_P(ChannelTest, FramesArriveAsTheyWereSentWithBothEndsCountingAlike) {
  std::mt19937_64 random(2);
  auto ends = make_ends(GetParam());
  Channel sender(std::move(ends.first), kRoom);
  Channel receiver(std::move(ends.second), kRoom);
  for (std::uint64_t round = 0; round < 50; ++round) {
    const Bytes message = random_bytes(random() % FrameHeader::kMaxMessageBytes, random);
    std::vector<Bytes> tensors;
    for (std::uint64_t n = random() % 4; n > 0; --n) {
      tensors.push_back(random_bytes(random() % 3000, random));
    }
    const FrameBytes sent = sender.send(FrameType::kReply, round, message, views_of(tensors));
    const auto frame = receiver.receive(10s);
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->type, FrameType::kReply);
    EXPECT_EQ(frame->request_id, round);
    EXPECT_TRUE(std::ranges::equal(frame->message, message));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(frame->message.data()) % 64, 0U);
    std::vector<Bytes> arrived;
    for (const Bytes& tensor : tensors) arrived.emplace_back(tensor.size());
    std::vector<std::span<std::byte>> into(arrived.begin(), arrived.end());
    receiver.receive_tensors(into);
    EXPECT_EQ(arrived, tensors);
    EXPECT_EQ(receiver.received_bytes().payload, sent.payload);
    EXPECT_EQ(receiver.received_bytes().overhead, sent.overhead);
  }
}

TEST_P(ChannelTest, EndsWithNothingBetweenFramesAndWithAnErrorInsideOne) {
  const Bytes whole = frame_bytes(FrameType::kStatsRequest, 1, testing::bytes_of("12345678"));
  peer.send(whole);
  peer.send(std::span(whole).first(whole.size() - 3));
  peer.close();
  EXPECT_TRUE(channel.receive(10s));
  try {
    channel.receive(10s);
    ADD_FAILURE() << "half a frame was taken for one";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConnectionLost) << error.what();
  }
  auto ends = make_ends(GetParam());
  Channel other(std::move(ends.first), kRoom);
  ends.second->close();
  EXPECT_FALSE(other.receive(10s));
}

TEST_P(ChannelTest, SilenceIsATimeout) {
  EXPECT_THROW(channel.receive(1ms), Error);
  channel.link().set_stall_timeout(1ms);
  peer.send(testing::bytes_of("ARLK"));
  try {
    channel.receive(10s);
    ADD_FAILURE() << "four bytes were taken for a frame";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kTimeout) << error.what();
  }
}

/// Whatever a frame is made of, and whether it is wanted or not.
TEST_P(ChannelTest, AFrameThatDripsIsATimeout) {
  const Bytes whole =
      frame_bytes(FrameType::kCall, 1, testing::bytes_of("12345678"), Bytes(std::size_t{1} << 19));
  for (const std::size_t at_once : {std::size_t{1}, std::size_t{36}, std::size_t{1000}}) {
    auto ends = make_ends(GetParam());
    Channel receiver(std::move(ends.first), kRoom);
    receiver.link().set_stall_timeout(50ms);
    receiver.link().set_least_rate(1e6);
    std::thread dripping([&, end = std::move(ends.second)] {
      try {
        end->send(std::span(whole).first(at_once));
        for (std::size_t i = at_once; i < at_once + 4000; ++i) {
          std::this_thread::sleep_for(5ms);
          end->send(std::span(whole).subspan(i, 1));
        }
      } catch (const Error&) {  // the receiver gave up, as it should
      }
    });
    try {
      ASSERT_TRUE(receiver.receive(10s));
      receiver.discard_payload();
      ADD_FAILURE() << "half a frame was taken for one";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kTimeout) << error.what();
    }
    receiver.link().close();
    dripping.join();
  }
}

TEST_P(ChannelTest, AnOversizedPayloadIsRefusedByItsHeader) {
  peer.send(frame_bytes({FrameType::kCall, 1, 0, kRoom + 1}, {}));
  try {
    channel.receive(10s);
    ADD_FAILURE() << "a payload past the limit was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol) << error.what();
  }
}

TEST_P(ChannelTest, TensorsMustFillThePayloadExactly) {
  for (const std::size_t size : {99U, 101U}) {
    auto ends = make_ends(GetParam());
    Channel receiver(std::move(ends.first), kRoom);
    RawPeer(std::move(ends.second)).send(FrameType::kReply, 1, {}, Bytes(100));
    ASSERT_TRUE(receiver.receive(10s));
    Bytes tensor(size);
    const std::span<std::byte> into(tensor);
    EXPECT_THROW(receiver.receive_tensors({&into, 1}), Error);
  }
}

TEST_P(ChannelTest, ADiscardedPayloadLeavesTheStreamInStep) {
  std::thread writer([&] {
    peer.send(FrameType::kCall, 1, testing::bytes_of("message"), Bytes(100001));
    peer.send(FrameType::kCall, 2, {});
  });
  ASSERT_TRUE(channel.receive(10s));
  channel.discard_payload();
  EXPECT_EQ(channel.received_bytes().payload, 0);
  const auto next = channel.receive(10s);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->request_id, 2U);
  writer.join();
}

TEST_P(ChannelTest, AMessageOrATensorTooManyIsTheCallersError) {
  const Bytes message(FrameHeader::kMaxMessageBytes + 1);
  EXPECT_THROW(channel.send(FrameType::kCall, 1, message), Error);
  const std::vector<std::span<const std::byte>> tensors(4);
  EXPECT_THROW(channel.send(FrameType::kCall, 1, {}, tensors), Error);
  EXPECT_EQ(channel.link().bytes_sent(), 0U);
}

// Overhead: what a person who counts bytes is promised. Padding is worst for the smallest widths
// of int8 and for tensors of one byte past a boundary.
TEST(Overhead, IsAtMost256BytesEachWayForEveryOperatorAndShape) {
  auto ends = make_ends(Transport::kInproc);
  Channel sender(std::move(ends.first), kRoom);
  Channel receiver(std::move(ends.second), std::numeric_limits<std::uint64_t>::max());
  MessageBuilder builder;
  std::int64_t worst = 0;
  const auto measure = [&](FrameType type, std::span<const std::byte> message,
                           const TensorSpecs& specs, Layout layout = Layout::kAligned) {
    std::vector<Bytes> tensors;
    for (const TensorSpec& spec : specs)
      tensors.emplace_back(static_cast<std::size_t>(spec.bytes()));
    const FrameBytes sent = sender.send(type, std::numeric_limits<std::uint64_t>::max(), message,
                                        views_of(tensors), layout);
    EXPECT_TRUE(receiver.receive(10s));
    receiver.discard_payload();
    return sent.overhead;
  };
  const auto measure_one = [&](auto... what) {
    const std::int64_t overhead = measure(what...);
    worst = std::max(worst, overhead);
    EXPECT_LE(overhead, 256);
  };
  for (const std::int64_t head_dim : {2, 6, 66}) {
    ModelConfig config = testing::small_config();
    config.head_dim = head_dim;
    config.hidden = 61;
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
      for (std::int64_t tokens = 1; tokens <= 17; ++tokens) {
        for (auto [call, outputs] : testing::legal_calls(config, tokens, dtype)) {
          if (call.layer >= 0) call.layer = std::numeric_limits<int>::max();
          measure_one(FrameType::kCall, builder.build(call), call.inputs);
          measure_one(
              FrameType::kReply,
              builder.build(ReplyMessage{std::numeric_limits<std::uint64_t>::max(), outputs}),
              outputs);
        }
      }
    }
  }
  // Whatever a call may hold at most, and three tensors of one byte behind a boundary.
  Call call;
  call.op = Op::kFlashAttention;
  call.layer = 1;
  call.ranges = {{7, 1, 77}};
  call.reply_dtype = DType::kBF16;
  TensorSpecs odd = {{DType::kI8, {1, 61}}, {DType::kI8, {1, 61}}, {DType::kI8, {1, 61}}};
  call.inputs = odd;
  measure_one(FrameType::kCall, builder.build(call), odd);
  measure_one(FrameType::kReply, builder.build(ReplyMessage{1, odd}), odd);
  // Several sequences take up to 88 bytes (mostly padding), and 12 for each but the first.
  for (std::uint32_t i = 1; i < kMaxRanges; ++i) {
    call.ranges.push_back({~i, std::numeric_limits<std::int32_t>::max(), 77});
    EXPECT_LE(measure(FrameType::kCall, builder.build(call), odd), 256 + 88 + 12 * i);
  }
  call.ranges = {{~0U, 1, 77}};
  // The same compressed, as large as lengths get.
  Transfer transfer;
  transfer.input_encodings.fill({Compression::kZstd, std::numeric_limits<std::int64_t>::max()});
  transfer.reply_compression = Compression::kZstd;
  call.weights = {Weight::kQ, Weight::kK, Weight::kV};
  call.transpose_b = true;
  measure_one(FrameType::kCall, builder.build(call, transfer), odd, Layout::kPacked);
  measure_one(FrameType::kReply, builder.build(ReplyMessage{1, odd, transfer.input_encodings}), odd,
              Layout::kPacked);
  RecordProperty("worst_overhead_bytes", static_cast<int>(worst));
}

}  // namespace
}  // namespace airlock::channel_test
