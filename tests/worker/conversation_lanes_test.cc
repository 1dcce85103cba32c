// Hostile runners with several calls under way, and headers that lie.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/worker/hostile_runners.h"

namespace airlock::conversation_lanes_test {
namespace {

using testing::Bytes;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_config;
using testing::small_fingerprint;
using namespace std::chrono_literals;

class ConversationLanes : public testing::HostileRunners,
                          public ::testing::WithParamInterface<std::tuple<Transport, int>> {
 protected:
  ConversationLanes() : HostileRunners(std::get<0>(GetParam())) { lanes = std::get<1>(GetParam()); }

  static Bytes call_frame(std::uint64_t id) {
    return testing::frame_bytes(FrameType::kCall, id, message_bytes(testing::small_call()),
                                Bytes(120));
  }
  Bytes hello() const {
    return testing::frame_bytes(FrameType::kHello, 0,
                                message_bytes(HelloMessage{small_fingerprint(), "x", lanes}));
  }
};

INSTANTIATE_TEST_SUITE_P(Transports, ConversationLanes,
                         ::testing::Combine(::testing::Values(Transport::kInproc, Transport::kUnix,
                                                              Transport::kShm, Transport::kTcp),
                                            ::testing::Values(1, 2, 16)),
                         [](const auto& test) {
                           return std::string(transport_name(std::get<0>(test.param))) + "_" +
                                  std::to_string(std::get<1>(test.param));
                         });

TEST_P(ConversationLanes, AnswersInOrderHoweverManyCallsAreSentAtOnce) {
  against([&](RawPeer& peer) {
    open(peer);
    Bytes calls;
    for (std::uint64_t id = 1; id <= 40; ++id) {
      testing::append(calls, call_frame(7 * id));
      testing::append(calls, testing::frame_bytes(FrameType::kStatsRequest, 7 * id + 1, {}));
    }
    std::thread sender([&] { peer.send(calls); });
    for (std::uint64_t id = 1; id <= 40; ++id) {
      expect_answer(peer, 7 * id);
      const auto stats = peer.read();
      ASSERT_TRUE(stats);
      EXPECT_EQ(stats->header.type, FrameType::kStats);
      EXPECT_EQ(stats->header.request_id, 7 * id + 1);
    }
    sender.join();
  });
  EXPECT_EQ(backend.calls, 40 + 12);
}

TEST_P(ConversationLanes, ACallThatFailsAmongOthersIsToldInItsTurn) {
  std::atomic<int> call{0};
  backend.during = [&](const Call&) {
    if (++call % 3 == 0) fail(ErrorCode::kInvalidArgument, "the third is unwell");
  };
  against([&](RawPeer& peer) {
    open(peer);
    Call illegal = testing::small_call();
    illegal.layer = 9;
    Bytes calls;
    for (std::uint64_t id = 1; id <= 9; ++id) {
      testing::append(calls, call_frame(id));
      testing::append(
          calls, testing::frame_bytes(FrameType::kCall, 100, message_bytes(illegal), Bytes(120)));
    }
    peer.send(calls);
    for (std::uint64_t id = 1; id <= 9; ++id) {
      if (id % 3 == 0) {
        expect_failure(peer, ErrorCode::kInvalidArgument, "the third is unwell");
      } else {
        expect_answer(peer, id);
      }
      expect_failure(peer, ErrorCode::kProtocol, "layer 9 is out of range");
    }
  });
}

/// Bytes of a frame's header that are overwritten, and what the worker says then.
struct Lie {
  const char* name;
  std::size_t offset;
  std::vector<int> bytes;
  const char* answer;
};

const Lie kLies[] = {
    {"magic", 0, {0x00}, "does not speak the Airlock protocol"},
    {"all of the magic", 0, {'G', 'E', 'T', ' '}, "does not speak the Airlock protocol"},
    {"version", 4, {1}, "version 1"},
    {"high byte of the version", 5, {1}, "version 258"},
    {"type 0", 6, {0}, "unknown type 0"},
    {"type 12", 6, {12}, "unknown type 12"},
    {"type 65535", 6, {0xff, 0xff}, "unknown type 65535"},
    {"Reply", 6, {4}, "a runner sent a frame of type 4"},
    {"a second Hello", 6, {1}, "Hello came twice"},
    {"Share", 6, {8}, "shared memory came with tensors"},
    {"EndSequence", 6, {11}, "the end of a sequence came with tensors"},
    {"no message", 16, {0, 0, 0, 0}, "Call message of 0 bytes"},
    {"a message of a byte", 16, {1, 0, 0, 0}, "Call message of 1 bytes"},
    {"the longest message and one", 16, {0x01, 0x40, 0, 0}, "message of 16385 bytes, at most"},
    {"a message of 4 GiB", 16, {0xff, 0xff, 0xff, 0xff}, "message of 4294967295 bytes, at most"},
    {"reserved word", 20, {1}, "reserved word"},
    {"a payload past the limit", 24, {1, 0, 0x10, 0}, "payload of 1048577 bytes, at most"},
    {"a payload of 2^63", 24, {0, 0, 0, 0, 0, 0, 0, 0x80}, "at most 1048576"},
    {"a payload of 2^64 - 1",
     24,
     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     "at most 1048576"},
};

TEST_P(ConversationLanes, AHeaderThatLiesEndsTheSessionAfterTheAnswersUnderWay) {
  for (const Lie& lie : kLies) {
    SCOPED_TRACE(lie.name);
    Bytes frame = call_frame(3);
    for (std::size_t i = 0; i < lie.bytes.size(); ++i) {
      frame[lie.offset + i] = static_cast<std::byte>(lie.bytes[i]);
    }
    against([&](RawPeer& peer) {
      open(peer);
      Bytes all = call_frame(1);
      testing::append(all, call_frame(2));
      testing::append(all, frame);
      peer.send(all);
      expect_answer(peer, 1);
      expect_answer(peer, 2);
      expect_failure(peer, ErrorCode::kProtocol, lie.answer);
      if (transport == Transport::kTcp) return;  // may end in a reset
      EXPECT_FALSE(peer.read());
    });
  }
}

TEST_P(ConversationLanes, HalfAMessageAndSilenceEndsTheSessionWithCallsUnderWay) {
  options.stall_timeout = 20ms;
  sent_before = hello();
  const Bytes call = call_frame(3);
  for (const std::size_t sent : {std::size_t{1}, std::size_t{33}, call.size() - 1}) {
    against([&](RawPeer& peer) {
      open(peer);
      Bytes all = call_frame(1);
      testing::append(all, call_frame(2));
      testing::append(all, std::span(call).first(sent));
      peer.send(all);
      while (peer.read()) {
      }
    });
  }
}

TEST_P(ConversationLanes, ARunnerThatReadsNoRepliesEndsItsOwnSession) {
  options.stall_timeout = 250ms;  // a busy machine may hold a peer up for less
  options.max_payload = 1 << 26;
  backend.model.max_position = 1 << 20;
  sent_before = hello();
  Call call;
  call.op = Op::kEmbedding;
  call.inputs = {{DType::kI64, {200000}}};  // 1.6 MB there, 8 MB back
  const Bytes frame =
      testing::frame_bytes(FrameType::kCall, 1, message_bytes(call), Bytes(1600000));
  against([&](RawPeer& peer) {
    open(peer);
    try {
      for (int i = 0; i < 100; ++i) peer.send(frame);
      ADD_FAILURE() << "the worker took in 100 calls that nobody waits for";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kConnectionLost) << error.what();
    }
  });
  EXPECT_LE(backend.calls, 16 + 2 + 12);
}

TEST_P(ConversationLanes, HoldsNoMoreThanTheLimitOnPayloadsAndOneCall) {
  // x [3, 10] in, two of [3, 14] out: 456 bytes, in blocks of 128 and twice 256.
  options.max_payload = 1000;
  serves_on = false;
  std::atomic<std::size_t> most{0};
  std::atomic<bool> all_sent{false};
  backend.during = [&](const Call&) {
    while (!all_sent) std::this_thread::yield();
    most = std::max(most.load(), context->pool.bytes_in_use());
  };
  against([&](RawPeer& peer) {
    open(peer);
    for (std::uint64_t id = 1; id <= 12; ++id) send_call(peer, id);
    all_sent = true;
    for (std::uint64_t id = 1; id <= 12; ++id) expect_answer(peer, id);
  });
  EXPECT_LE(most, 3 * (128 + 2 * 256U));
}

TEST_P(ConversationLanes, SurvivesARunnerThatLeavesWithCallsUnderWay) {
  leaves_in_a_call([&](RawPeer& peer) {
    for (std::uint64_t id = 1; id <= 5; ++id) send_call(peer, id);
  });
}

}  // namespace
}  // namespace airlock::conversation_lanes_test
