#include "airlock/worker/conversation.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/denormals.h"
#include "airlock/core/error.h"

#include "tests/worker/hostile_runners.h"

namespace airlock::conversation_test {
namespace {

using testing::Bytes;
using testing::bytes_of;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_config;
using testing::small_fingerprint;
using namespace std::chrono_literals;

Call the_call() {
  return testing::small_call();
}

class ConversationTest : public testing::HostileRunners,
                         public ::testing::WithParamInterface<Transport> {
 protected:
  ConversationTest() : HostileRunners(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Transports, ConversationTest,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kShm),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST_P(ConversationTest, EndsWithARunnerThatSaysNothingOfUse) {
  expect_end(bytes_of("GET / HTTP/1.1\r\nHost: worker\r\nUser-Agent: x\r\n\r\n"),
             "does not speak the Airlock protocol");
  expect_end(Bytes(32), "does not speak the Airlock protocol");
  expect_end(Bytes(32, std::byte{0xff}), "does not speak the Airlock protocol");
  Bytes version = testing::frame_bytes(FrameType::kHello, 0, {});
  version[4] = std::byte{9};
  expect_end(version, "version 9");
  expect_end(testing::frame_bytes(FrameType::kHello, 0, bytes_of("not a flatbuffer")),
             "Hello message of 16 bytes is malformed");
}

TEST_P(ConversationTest, EndsWhenAFrameComesOutOfOrder) {
  const Bytes hello = message_bytes(HelloMessage{small_fingerprint(), "x"});
  for (const FrameType type : {FrameType::kWelcome, FrameType::kCall, FrameType::kReply,
                               FrameType::kFailure, FrameType::kStatsRequest, FrameType::kStats}) {
    expect_end(testing::frame_bytes(type, 0, hello), "came before Hello");
  }
  expect_end(testing::frame_bytes(FrameType::kHello, 1, hello), "Hello came twice", true);
  expect_end(testing::frame_bytes(FrameType::kHello, 0, hello, Bytes(8)), "with tensors");
  for (const FrameType type :
       {FrameType::kWelcome, FrameType::kReply, FrameType::kFailure, FrameType::kStats}) {
    expect_end(testing::frame_bytes(type, 1, hello), "a runner sent a frame of type", true);
  }
  expect_end(testing::frame_bytes(FrameType::kStatsRequest, 1, {}, Bytes(8)),
             "a stats request came with tensors", true);
}

TEST_P(ConversationTest, RefusesLengthsBeyondItsLimitsByTheHeaderAlone) {
  for (const bool after_hello : {false, true}) {
    for (const std::uint64_t payload :
         {std::uint64_t{1} << 60, std::numeric_limits<std::uint64_t>::max(),
          std::uint64_t{(1 << 20) + 1}}) {
      expect_end(testing::frame_bytes(FrameHeader{FrameType::kCall, 1, 0, payload}, {}),
                 "at most 1048576 are allowed", after_hello);
    }
    expect_end(testing::frame_bytes(FrameHeader{FrameType::kCall, 1, 0xffffffff, 0}, {}),
               "at most 16384 are allowed", after_hello);
  }
}

TEST_P(ConversationTest, TellsARunnerOfAnotherModel) {
  against([&](RawPeer& peer) {
    peer.hello(FingerprintBytes{1, 2, 3});
    expect_failure(peer, ErrorCode::kModelMismatch, "another model");
    EXPECT_FALSE(peer.read());
  });
}

TEST_P(ConversationTest, AnIllegalCallFailsAndTheSessionGoesOn) {
  against([&](RawPeer& peer) {
    open(peer);
    std::uint64_t id = 1;
    const auto expect_refusal = [&](const Call& call, std::size_t payload, const char* text) {
      peer.send(FrameType::kCall, ++id, message_bytes(call), Bytes(payload));
      expect_failure(peer, ErrorCode::kProtocol, text);
      expect_reply(peer, ++id);
    };
    Call call = the_call();
    call.layer = 7;
    expect_refusal(call, 120, "layer 7 is out of range");
    call = the_call();
    call.inputs[0].shape = {3, 11};
    expect_refusal(call, 132, "shape [3, 11]");
    call = the_call();
    call.inputs[0].dtype = DType::kI64;
    expect_refusal(call, 240, "i64");
    call = the_call();
    call.inputs[0].shape = {4097, 10};
    expect_refusal(call, 4097 * 40, "more than 64 sequences of 64 tokens have");
    call = the_call();
    call.inputs[0].shape = {0xffffffff, 10};
    expect_refusal(call, 0, "more than 64 sequences of 64 tokens have");
    call.inputs = {};
    expect_refusal(call, 1 << 20, "has 0 tensors");
    call.op = Op::kInit;
    call.weights = {};
    expect_refusal(call, 0, "cannot be called");
  });
}

TEST_P(ConversationTest, APayloadOfAnotherLengthThanItsTensorsFailsAndTheSessionGoesOn) {
  against([&](RawPeer& peer) {
    open(peer);
    for (const std::size_t length : {0, 1, 119, 121, 100000}) {
      peer.send(FrameType::kCall, 1, message_bytes(the_call()), Bytes(length));
      expect_failure(peer, ErrorCode::kProtocol, "its tensors take 120 bytes");
      expect_reply(peer, 2);
    }
  });
}

TEST_P(ConversationTest, EndsWhenACallIsNoMessage) {
  expect_end(testing::frame_bytes(FrameType::kCall, 1, {}), "Call message of 0 bytes", true);
  const Bytes call = message_bytes(the_call());
  expect_end(testing::frame_bytes(FrameType::kCall, 1, std::span(call).first(call.size() / 2)),
             "is malformed", true);
}

TEST_P(ConversationTest, AReplyPastTheLimitIsRefusedBeforeItIsComputed) {
  options.max_payload = 300;  // the request takes 120 bytes, the reply 168 + 24 + 168
  serves_on = false;          // an honest runner's calls are larger as well
  against([&](RawPeer& peer) {
    open(peer);
    peer.send(FrameType::kCall, 1, message_bytes(the_call()), Bytes(120));
    expect_failure(peer, ErrorCode::kResourceExhausted, "raise --max-payload");
    EXPECT_EQ(backend.calls, 0);
  });
}

TEST_P(ConversationTest, EndsWithARunnerThatStallsWhereverItDoes) {
  const Bytes hello = testing::frame_bytes(FrameType::kHello, 0,
                                           message_bytes(HelloMessage{small_fingerprint(), "x"}));
  const Bytes call =
      testing::frame_bytes(FrameType::kCall, 1, message_bytes(the_call()), Bytes(120));
  options.stall_timeout = 20ms;
  for (const std::size_t sent : {std::size_t{0}, std::size_t{5}, hello.size() - 1}) {
    against([&](RawPeer& peer) {
      if (sent > 0) peer.send(std::span(hello).first(sent));
      EXPECT_FALSE(peer.read());
    });
  }
  sent_before = hello;
  for (const std::size_t sent : {std::size_t{1}, std::size_t{40}, call.size() - 1}) {
    against([&](RawPeer& peer) {
      open(peer);
      peer.send(std::span(call).first(sent));
      EXPECT_FALSE(peer.read());
    });
  }
}

TEST_P(ConversationTest, EndsWithARunnerThatDripsWhateverItSays) {
  const Bytes hello = testing::frame_bytes(FrameType::kHello, 0,
                                           message_bytes(HelloMessage{small_fingerprint(), "x"}));
  const Bytes call =
      testing::frame_bytes(FrameType::kCall, 1, message_bytes(the_call()), Bytes(120));
  const auto drip = [](RawPeer& peer, const Bytes& bytes) {
    try {
      for (const std::byte& byte : bytes) {
        peer.send({&byte, 1});
        std::this_thread::sleep_for(5ms);
      }
      EXPECT_FALSE(peer.read()) << "it was answered";
    } catch (const Error&) {  // the worker hung up meanwhile, as it should
    }
  };
  options.least_rate = 1e6;
  options.stall_timeout = 100ms;
  against([&](RawPeer& peer) { drip(peer, hello); });
  sent_before = hello;
  against([&](RawPeer& peer) {
    open(peer);
    const int before = backend.calls;
    drip(peer, call);
    EXPECT_EQ(backend.calls, before);
  });
}

TEST_P(ConversationTest, MayTakeLessTimeForHelloThanLater) {
  options.stall_timeout = 30s;
  options.hello_timeout = 20ms;
  against([&](RawPeer& peer) { EXPECT_FALSE(peer.read()); });
  sent_before = testing::frame_bytes(FrameType::kHello, 0,
                                     message_bytes(HelloMessage{small_fingerprint(), "x"}));
  against([&](RawPeer& peer) {
    open(peer);
    const Bytes call =
        testing::frame_bytes(FrameType::kCall, 1, message_bytes(the_call()), Bytes(120));
    peer.send(std::span(call).first(50));
    std::this_thread::sleep_for(60ms);
    peer.send(std::span(call).subspan(50));
    expect_answer(peer, 1);
  });
}

TEST_P(ConversationTest, EndsWithARunnerThatDoesNotReadItsReply) {
  options.stall_timeout = 20ms;
  options.max_payload = 1 << 26;
  backend.model.max_position = 1 << 20;
  sent_before = testing::frame_bytes(FrameType::kHello, 0,
                                     message_bytes(HelloMessage{small_fingerprint(), "x"}));
  against([&](RawPeer& peer) {
    open(peer);
    Call call;
    call.op = Op::kEmbedding;
    call.inputs = {{DType::kI64, {200000}}};  // 1.6 MB there, 8 MB back
    peer.send(FrameType::kCall, 1, message_bytes(call), Bytes(1600000));
    while (backend.calls == 0) std::this_thread::yield();
    const auto wait_for_the_end = [&] {
      Bytes byte(1);
      while (true) peer.link().receive(byte);
    };
    std::this_thread::sleep_for(100ms);  // reads nothing for five times the limit
    EXPECT_THROW(wait_for_the_end(), Error);
  });
}

TEST_P(ConversationTest, EndsWithARunnerThatLeavesWhereverItDoes) {
  const Bytes call =
      testing::frame_bytes(FrameType::kCall, 1, message_bytes(the_call()), Bytes(120));
  against([](RawPeer&) {});
  against([&](RawPeer& peer) { peer.send(bytes_of("ARLK")); });
  against([&](RawPeer& peer) { open(peer); });
  for (std::size_t sent = 1; sent < call.size(); sent += 37) {
    against([&](RawPeer& peer) {
      open(peer);
      peer.send(std::span(call).first(sent));
    });
  }
}

TEST_P(ConversationTest, SurvivesARunnerThatLeavesWhileItsCallRuns) {
  leaves_in_a_call([&](RawPeer& peer) {
    peer.send(FrameType::kCall, 1, message_bytes(the_call()), Bytes(120));
  });
  EXPECT_EQ(testing::FakeSequence::alive(), 0);
}

TEST_P(ConversationTest, ComputesOnThreadsThatFlushDenormals) {
  std::atomic<int> flushed{0};
  for (const int wanted : {1, 4}) {
    lanes = wanted;
    backend.during = [&](const Call&) { flushed += flushes_denormals() ? 1 : 0; };
    against([&](RawPeer& peer) {
      open(peer);
      expect_reply(peer, 1);
    });
  }
  EXPECT_EQ(flushed, kFlushMode == 0 ? 0 : 2);
}

TEST_P(ConversationTest, ABackendThatThrowsFailsTheCallAndTheSessionGoesOn) {
  int call = 0;
  backend.during = [&](const Call&) {
    switch (call++) {
      case 0:
        fail(ErrorCode::kInvalidArgument, "token id 99 is outside the vocabulary");
      case 1:
        throw std::runtime_error("oneDNN is unwell");
      case 2:
        throw std::bad_alloc();
      default:
        break;
    }
  };
  against([&](RawPeer& peer) {
    open(peer);
    for (const auto& [code, text] : {std::pair(ErrorCode::kInvalidArgument, "token id 99"),
                                     std::pair(ErrorCode::kInternal, "oneDNN is unwell"),
                                     std::pair(ErrorCode::kResourceExhausted, "has no memory")}) {
      peer.send(FrameType::kCall, 1, message_bytes(the_call()), Bytes(120));
      expect_failure(peer, code, text);
    }
    expect_reply(peer, 2);
  });
}

/// AttentionBlock of these ranges, x [rows, 10].
Call batch_of(const RowRanges& ranges, std::int64_t rows) {
  Call call = testing::legal_calls(small_config(), rows, DType::kF32)[9].call;
  call.ranges = ranges;
  return call;
}

TEST_P(ConversationTest, ABackendThatCannotMakeASequenceFailsTheCallAndTheSessionGoesOn) {
  against([&](RawPeer& peer) {
    open(peer);
    backend.on_open = [] { fail(ErrorCode::kResourceExhausted, "no memory for a sequence"); };
    peer.send(FrameType::kCall, 1, message_bytes(batch_of({{1, 2, 0}, {2, 1, 0}}, 3)), Bytes(120));
    expect_failure(peer, ErrorCode::kResourceExhausted, "no memory for a sequence");
    backend.on_open = nullptr;
    expect_reply(peer, 2);
  });
}

TEST_P(ConversationTest, RangesThatAreNotTheRowsFailTheCallAndTheSessionGoesOn) {
  constexpr std::int32_t kMostTokens = std::numeric_limits<std::int32_t>::max();
  const std::pair<RowRanges, const char*> wrong[] = {
      {{{4, 1, 0}, {5, 1, 0}, {4, 1, 1}}, "names sequence 4 twice"},
      {{{4, 1, 0}, {5, 1, 0}}, "its ranges have 2 rows, its tensors 3"},
      {{{4, 2, 0}, {5, 2, 0}}, "its ranges have 4 rows, its tensors 3"},
      {{{4, 3, 0}, {5, 0, 0}}, "has 0 tokens of sequence 5"},
      {{{4, kMostTokens, 0}, {5, kMostTokens, 0}, {6, 5, 0}}, "pass the model's context"},
      {{{4, 1, 0xffffffff}, {5, 2, 0}}, "pass the model's context"},
      {{{4, 3, 0xffffffff}}, "pass the model's context"},
      {{{4, 1, 0}, {5, 2, 1}}, "continues sequence 5 at position 1"},
      {{{4, 3, 1}}, "continues sequence 4 at position 1"},
  };
  against([&](RawPeer& peer) {
    open(peer);
    std::uint64_t id = 1;
    for (const auto& [ranges, text] : wrong) {
      peer.send(FrameType::kCall, ++id, message_bytes(batch_of(ranges, 3)), Bytes(120));
      const FailureMessage failure = peer.read_failure();
      EXPECT_NE(failure.text.find(text), std::string::npos) << failure.text << "\n  not: " << text;
      expect_reply(peer, ++id);
    }
    EXPECT_EQ(testing::FakeSequence::alive(), 0);
  });
}

TEST_P(ConversationTest, AFloodOfSequencesIsRefusedAtTheLimit) {
  options.max_sequences = 5;
  against([&](RawPeer& peer) {
    open(peer);
    for (std::uint32_t id = 0; id < 100; ++id) {
      peer.send(FrameType::kCall, id, message_bytes(batch_of({{id, 3, 0}}, 3)), Bytes(120));
      if (id < 5) {
        ASSERT_TRUE(peer.read());
        continue;
      }
      expect_failure(peer, ErrorCode::kResourceExhausted, "raise --max-sequences");
    }
    EXPECT_EQ(testing::FakeSequence::alive(), 5);
    RowRanges many;
    for (std::uint32_t id = 1000; id < 1000 + kMaxRanges; ++id) many.push_back({id, 1, 0});
    peer.send(FrameType::kCall, 1, message_bytes(batch_of(many, kMaxRanges)),
              Bytes(40 * kMaxRanges));
    expect_failure(peer, ErrorCode::kResourceExhausted, "raise --max-sequences");
    expect_reply(peer, 2);
    EXPECT_EQ(testing::FakeSequence::alive(), 5);
  });
}

TEST_P(ConversationTest, TheEndOfASequenceHasNoAnswerAndOfAnUnknownOneNoEffect) {
  against([&](RawPeer& peer) {
    open(peer);
    for (std::uint32_t id = 0; id < 100; ++id) {
      peer.send(FrameType::kEndSequence, id, message_bytes(EndSequenceMessage{~id}));
    }
    expect_reply(peer, 1);
    peer.send(FrameType::kCall, 2, message_bytes(batch_of({{7, 2, 0}, {8, 1, 0}}, 3)), Bytes(120));
    ASSERT_TRUE(peer.read());
    EXPECT_EQ(testing::FakeSequence::alive(), 2);
    peer.send(FrameType::kEndSequence, 3, message_bytes(EndSequenceMessage{7}));
    peer.send(FrameType::kEndSequence, 4, message_bytes(EndSequenceMessage{7}));
    peer.send(FrameType::kCall, 5, message_bytes(batch_of({{7, 3, 2}}, 3)), Bytes(120));
    expect_failure(peer, ErrorCode::kSessionLost, "continues sequence 7 at position 2");
    EXPECT_EQ(testing::FakeSequence::alive(), 1);
  });
  const Bytes end = message_bytes(EndSequenceMessage{7});
  expect_end(testing::frame_bytes(FrameType::kEndSequence, 1, end, Bytes(8)),
             "the end of a sequence came with tensors", true);
  expect_end(testing::frame_bytes(FrameType::kEndSequence, 1, bytes_of("no")),
             "EndSequence message of 2 bytes is malformed", true);
  expect_end(testing::frame_bytes(FrameType::kEndSequence, 1, end), "came before Hello");
}

TEST_P(ConversationTest, AnswersStatsAndRepeatsTheIdsItIsGiven) {
  against([&](RawPeer& peer) {
    open(peer);
    for (const std::uint64_t id : {std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max()}) {
      expect_reply(peer, id);
      peer.send(FrameType::kStatsRequest, id, {});
      const auto frame = peer.read();
      ASSERT_TRUE(frame);
      EXPECT_EQ(frame->header.type, FrameType::kStats);
      EXPECT_EQ(frame->header.request_id, id);
      const WorkerStats stats = parse_stats(frame->message);
      EXPECT_EQ(stats.weight_bytes, 4711);
      EXPECT_EQ(stats.sessions, 1);
      EXPECT_EQ(stats.resident_bytes, 0);  // others have a part in it
      EXPECT_EQ(stats.peak_resident_bytes, 0);
    }
  });
}

TEST_P(ConversationTest, AnswersRequestsThatWereSentAtOnceInTheirOrder) {
  against([&](RawPeer& peer) {
    open(peer);
    Bytes calls;
    for (std::uint64_t id = 10; id < 15; ++id) {
      testing::append(
          calls, testing::frame_bytes(FrameType::kCall, id, message_bytes(the_call()), Bytes(120)));
    }
    peer.send(calls);
    for (std::uint64_t id = 10; id < 15; ++id) {
      const auto frame = peer.read();
      ASSERT_TRUE(frame);
      EXPECT_EQ(frame->header.request_id, id);
    }
  });
}

TEST_P(ConversationTest, SurvivesDamagedFramesOfEveryKind) {
  std::mt19937_64 random(4);
  options.stall_timeout = 5ms;
  const Bytes hello = testing::frame_bytes(FrameType::kHello, 0,
                                           message_bytes(HelloMessage{small_fingerprint(), "x"}));
  const Bytes call =
      testing::frame_bytes(FrameType::kCall, 1, message_bytes(the_call()), Bytes(120));
  for (int round = 0; round < 60; ++round) {
    Bytes bytes = hello;
    testing::append(bytes, call);
    testing::append(bytes, call);
    for (std::uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
      bytes[random() % bytes.size()] ^= static_cast<std::byte>(1U << random() % 8);
    }
    sent_before = bytes;
    against([](RawPeer&) {});
  }
}

}  // namespace
}  // namespace airlock::conversation_test
