#include "airlock/wire/message.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <flatbuffers/flatbuffers.h>
#include <gtest/gtest.h>

#include "tests/support/raw_peer.h"
#include "tests/support/small_model.h"

namespace airlock::message_test {
namespace {

using testing::Bytes;
using testing::message_bytes;
using Random = std::mt19937_64;

constexpr std::int64_t k31 = std::int64_t{1} << 31;

TensorSpec random_spec(Random& random) {
  std::array<std::int64_t, 3> dims{};
  const std::size_t rank = random() % 4;
  for (std::size_t i = 0; i < rank; ++i) {
    dims[i] = static_cast<std::int64_t>(random() >> (32 + random() % 32));
  }
  return {static_cast<DType>(random() % 5), Shape(std::span(dims).first(rank))};
}

Call random_call(Random& random) {
  Call call;
  call.op = static_cast<Op>(random() % kOpCount);
  call.layer = static_cast<int>(random());
  call.transpose_b = random() % 2 == 0;
  call.reply_dtype = static_cast<DType>(random() % 5);
  for (std::uint64_t i = random() % 4; i > 0; --i) {
    call.weights.push_back(layer_matrices()[random() % layer_matrices().size()]);
  }
  for (std::uint64_t i = random() % 4; i > 0; --i) call.inputs.push_back(random_spec(random));
  const auto at_most = [&](std::int64_t most) {
    return std::min(most, static_cast<std::int64_t>(random() >> (32 + random() % 32)));
  };
  const std::uint64_t fewest = is_attention(call.op) ? 1 : 0;
  const std::uint64_t many = random() % 2 == 0 ? 2 : kMaxRanges;
  for (std::uint64_t i = fewest + random() % (many + 1 - fewest); i > 0; --i) {
    call.ranges.push_back({static_cast<std::uint32_t>(random()),
                           static_cast<std::int32_t>(at_most(k31 - 1)), at_most(2 * k31 - 1)});
  }
  // What most calls are: one sequence that has all rows.
  const bool rows = !call.inputs.empty() && call.inputs[0].shape.rank() > 0;
  if (rows && !call.ranges.empty() && random() % 2 == 0) {
    call.ranges[0].tokens = static_cast<std::int32_t>(std::min(call.inputs[0].shape[0], k31 - 1));
  }
  return call;
}

TEST(Message, EveryCallComesBackAsItWas) {
  Random random(1);
  MessageBuilder builder;
  for (int i = 0; i < 2000; ++i) {
    const Call call = random_call(random);
    ASSERT_EQ(parse_call(builder.build(call)), call) << describe(call);
  }
}

TEST(Message, EveryReplyComesBackAsItWas) {
  Random random(2);
  MessageBuilder builder;
  for (int i = 0; i < 500; ++i) {
    ReplyMessage reply{random(), {}};
    for (std::uint64_t n = random() % 4; n > 0; --n) reply.outputs.push_back(random_spec(random));
    const ReplyMessage back = parse_reply(builder.build(reply));
    EXPECT_EQ(back.worker_ns, reply.worker_ns);
    EXPECT_EQ(back.outputs, reply.outputs);
  }
}

TEST(Message, OthersComeBackAsTheyWere) {
  MessageBuilder builder;
  const HelloMessage hello = parse_hello(builder.build(HelloMessage{{1, 2, 255}, "someone"}));
  EXPECT_EQ(hello.fingerprint, (FingerprintBytes{1, 2, 255}));
  EXPECT_EQ(hello.client, "someone");
  const WelcomeMessage welcome =
      parse_welcome(builder.build(WelcomeMessage{{9}, DType::kBF16, "cpu", "w"}));
  EXPECT_EQ(welcome.fingerprint, (FingerprintBytes{9}));
  EXPECT_EQ(welcome.compute_dtype, DType::kBF16);
  EXPECT_EQ(welcome.backend, "cpu");
  EXPECT_EQ(welcome.worker, "w");
  for (unsigned code = 0; is_error_code(code); ++code) {
    const FailureMessage failure =
        parse_failure(builder.build(FailureMessage{static_cast<ErrorCode>(code), "why"}));
    EXPECT_EQ(failure.code, static_cast<ErrorCode>(code));
    EXPECT_EQ(failure.text, "why");
  }
  EXPECT_EQ(parse_end_sequence(builder.build(EndSequenceMessage{0xffffffff})).sequence, 0xffffffff);
  EXPECT_EQ(parse_end_sequence(builder.build(EndSequenceMessage{})).sequence, 0U);
  const WorkerStats stats = parse_stats(builder.build(WorkerStats{1, 2, 3, 1LL << 62, 5}));
  EXPECT_EQ(stats.weight_bytes, 1);
  EXPECT_EQ(stats.kv_bytes, 2);
  EXPECT_EQ(stats.resident_bytes, 3);
  EXPECT_EQ(stats.peak_resident_bytes, 1LL << 62);
  EXPECT_EQ(stats.sessions, 5);
}

TEST(Message, ACallThatDoesNotFitTheWireIsRefusedWhereItIsBuilt) {
  MessageBuilder builder;
  Call call;
  for (const RowRange& wrong : {RowRange{0, 1, 2 * k31}, RowRange{0, 1, -1}, RowRange{0, -1, 0}}) {
    call.ranges = {{1, 1, 1}, wrong};
    EXPECT_THROW(builder.build(call), Error);
  }
  call.ranges = {};
  EXPECT_NO_THROW(builder.build(call));
  call.op = Op::kFlashAttention;  // whose rows are they?
  EXPECT_THROW(builder.build(call), Error);
  call.ranges = {{1, 1, 1}};
  call.inputs = {{DType::kF32, {1LL << 32}}};
  EXPECT_THROW(builder.build(call), Error);
  call.inputs = {{DType::kF32, {1, 1, 1, 1}}};
  EXPECT_THROW(builder.build(call), Error);
}

TEST(Message, TextsOfAPeerAreCutAndCannotDriveATerminal) {
  const std::string nasty = std::string(
                                "a\x1b[2Jb\nc\x7f \xc2\x9b"
                                "1m\xe2\x80\xae\0d",
                                20) +
                            std::string(100000, 'x');
  for (const std::string& text :
       {parse_failure(message_bytes(FailureMessage{{}, nasty})).text,
        parse_hello(message_bytes(HelloMessage{{}, nasty})).client,
        parse_welcome(message_bytes(WelcomeMessage{{}, {}, nasty, ""})).backend,
        parse_welcome(message_bytes(WelcomeMessage{{}, {}, "", nasty})).worker}) {
    EXPECT_EQ(text.size(), 2000U);
    EXPECT_EQ(text.substr(0, 8), "a [2Jb c");
    for (const char c : text) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
  }
}

struct Kind {
  const char* name;
  Bytes valid;
  std::function<void(std::span<const std::byte>)> parse;
};

Transfer compressed_transfer() {
  Transfer transfer;
  transfer.input_encodings[0] = {Compression::kZstd, 77};
  transfer.input_encodings[1] = {Compression::kZstd, 1LL << 40};
  transfer.reply_compression = Compression::kZstd;
  return transfer;
}

Bytes compressed_call() {
  MessageBuilder builder;
  const auto calls = testing::legal_calls(testing::small_config(), 3, DType::kF16);
  const auto bytes = builder.build(calls[7].call, compressed_transfer());
  return {bytes.begin(), bytes.end()};
}

TEST(Message, CompressedTensorsAndProbesComeBack) {
  const Transfer transfer = parse_call_message(compressed_call()).transfer;
  EXPECT_EQ(transfer.input_encodings, compressed_transfer().input_encodings);
  EXPECT_EQ(transfer.reply_compression, Compression::kZstd);
  const Encodings encodings = {Encoding{Compression::kNone, 0}, Encoding{Compression::kZstd, 9}};
  const auto outputs = testing::legal_calls(testing::small_config(), 3, DType::kF16)[1].outputs;
  EXPECT_EQ(parse_reply(message_bytes(ReplyMessage{5, outputs, encodings})).encodings, encodings);
  const ProbeMessage probe =
      parse_probe(message_bytes(ProbeMessage{4096, 8192, {3, 64}, {4, 128}}));
  EXPECT_EQ(probe.bytes, 4096);
  EXPECT_EQ(probe.reply_bytes, 8192);
  EXPECT_EQ(probe.place, (Place{3, 64}));
  EXPECT_EQ(probe.reply_place, (Place{4, 128}));
}

Bytes batched_call() {
  Call call = testing::legal_calls(testing::small_config(), 3, DType::kF16)[9].call;
  call.ranges = {{7, 1, 4}, {0xffffffff, 2, 0}};
  return message_bytes(call);
}

/// A Call message of `count` ranges of one row, and a position and a sequence beside them, as
/// another client might build it.
Bytes call_of_ranges(std::size_t count, std::uint32_t position, std::uint32_t sequence) {
  struct Range {
    std::uint32_t sequence, tokens, position;
  };
  const auto field = [](int index) { return static_cast<flatbuffers::voffset_t>(4 + 2 * index); };
  flatbuffers::FlatBufferBuilder builder;
  const auto ranges = builder.CreateVectorOfStructs(std::vector<Range>(count, {1, 1, 0}));
  const auto start = builder.StartTable();
  builder.AddElement<std::uint8_t>(field(0), static_cast<std::uint8_t>(Op::kFlashAttention), 0);
  builder.AddElement<std::uint32_t>(field(4), position, 0);
  builder.AddElement<std::uint32_t>(field(5), sequence, 0);
  builder.AddOffset(field(12), ranges);
  builder.Finish(flatbuffers::Offset<void>(builder.EndTable(start)));
  const auto bytes = std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()));
  return {bytes.begin(), bytes.end()};
}

TEST(Message, RangesAreOneToTheirMostAndNeitherPositionNorSequenceStandsBesideThem) {
  EXPECT_EQ(parse_call(call_of_ranges(1, 0, 0)).ranges.size(), 1);
  EXPECT_EQ(parse_call(call_of_ranges(kMaxRanges, 0, 0)).ranges.size(), kMaxRanges);
  for (const Bytes& wrong :
       {call_of_ranges(0, 0, 0), call_of_ranges(kMaxRanges + 1, 0, 0), call_of_ranges(1000, 0, 0),
        call_of_ranges(2, 1, 0), call_of_ranges(2, 0, 1)}) {
    try {
      parse_call(wrong);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kProtocol);
      EXPECT_NE(std::string(error.what()).find("ranges of rows"), std::string::npos)
          << error.what();
    }
  }
}

TEST(Message, ACallOfOneSequenceIsNoLongerThanWithoutItsNumber) {
  MessageBuilder builder;
  for (auto [call, outputs] : testing::legal_calls(testing::small_config(), 3, DType::kF32)) {
    if (!keeps_keys(call.op)) continue;
    call.ranges[0].position = 7;
    const auto frame = [&](std::uint32_t sequence) {
      call.ranges[0].sequence = sequence;
      const std::size_t bytes = FrameHeader::kBytes + builder.build(call).size();
      return bytes + padding_after(bytes);
    };
    EXPECT_EQ(frame(0xffffffff), frame(0)) << describe(call);
  }
}

std::vector<Kind> kinds() {
  const auto calls = testing::legal_calls(testing::small_config(), 3, DType::kF16);
  return {
      {"Hello", message_bytes(HelloMessage{testing::small_fingerprint(), "runner"}), parse_hello},
      {"Welcome",
       message_bytes(WelcomeMessage{testing::small_fingerprint(), DType::kF32, "cpu", "worker"}),
       parse_welcome},
      {"Call", message_bytes(calls[1].call), parse_call},
      {"Call", message_bytes(calls[7].call), parse_call},
      {"Reply", message_bytes(ReplyMessage{123456789, calls[1].outputs}), parse_reply},
      {"Failure", message_bytes(FailureMessage{ErrorCode::kTimeout, "too slow"}), parse_failure},
      {"Stats", message_bytes(WorkerStats{1, 2, 3, 4, 5}), parse_stats},
      {"Probe", message_bytes(ProbeMessage{4096, 8192, {3, 64}, {4, 128}}), parse_probe},
      {"EndSequence", message_bytes(EndSequenceMessage{77}), parse_end_sequence},
      {"Call", batched_call(), parse_call},
      {"Call", compressed_call(), parse_call},
      {"Reply",
       message_bytes(ReplyMessage{1, calls[1].outputs, {Encoding{Compression::kZstd, 1234}}}),
       parse_reply},
  };
}

/// True if it parsed; anything but Error(kProtocol) that names the message is a failure.
bool parses(const Kind& kind, std::span<const std::byte> bytes) {
  // A fresh block of the exact size, so that ASan sees a read past the end.
  const Bytes exact(bytes.begin(), bytes.end());
  try {
    kind.parse(exact);
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol) << error.what();
    EXPECT_NE(std::string(error.what()).find(kind.name), std::string::npos) << error.what();
  }
  return false;
}

TEST(Message, ATruncatedOneIsRefused) {
  for (const Kind& kind : kinds()) {
    ASSERT_TRUE(parses(kind, kind.valid));
    for (std::size_t size = 0; size < kind.valid.size(); ++size) {
      // A cut may only fall into what alignment added behind the last field.
      if (size + 8 <= kind.valid.size()) {
        EXPECT_FALSE(parses(kind, std::span(kind.valid).first(size)))
            << kind.name << " of " << size << " of " << kind.valid.size() << " bytes";
      } else {
        parses(kind, std::span(kind.valid).first(size));
      }
    }
  }
}

TEST(Message, EveryFlippedBitIsReadOrRefused) {
  for (const Kind& kind : kinds()) {
    Bytes bytes = kind.valid;
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      parses(kind, bytes);
      bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    }
  }
}

TEST(Message, RandomBytesAreReadOrRefused) {
  Random random(3);
  for (const Kind& kind : kinds()) {
    for (int i = 0; i < 3000; ++i) {
      Bytes bytes = kind.valid;
      for (std::uint64_t edits = 1 + random() % 6; edits > 0; --edits) {
        bytes[random() % bytes.size()] = static_cast<std::byte>(random());
      }
      parses(kind, bytes);
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 8);
      parses(kind, bytes);
    }
  }
}

TEST(Message, OneKindReadAsAnotherIsReadOrRefused) {
  for (const Kind& as : kinds()) {
    for (const Kind& kind : kinds()) parses(as, kind.valid);
  }
}

/// A Reply whose vector of Encodings (8-byte elements) begins 4 bytes past a multiple of 8, which
/// the flatbuffers verifier lets pass. Found by the fuzzer.
TEST(Message, EncodingsThatAreNotAlignedAreRefused) {
  constexpr std::uint8_t kReply[] = {
      0x10, 0x00, 0x00, 0x00, 0x1c, 0x00, 0x10, 0x04, 0x08, 0x00, 0x08, 0x00, 0x08, 0x00, 0x0c,
      0x00, 0x0c, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x04, 0x18, 0x00, 0x00, 0x00, 0x14, 0x00,
      0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0xa1, 0x70, 0x75, 0x29, 0x00,
      0xc5, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x32, 0x10, 0x00,
      0x02, 0x00, 0x00, 0x2c, 0x00, 0x00, 0x00, 0x29, 0x00, 0x00, 0x00, 0xff, 0xff, 0xee, 0xda};
  const Bytes bytes = testing::copy_of(std::as_bytes(std::span(kReply)));
  try {
    parse_reply(bytes);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol);
    EXPECT_NE(std::string(error.what()).find("not aligned"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace airlock::message_test
