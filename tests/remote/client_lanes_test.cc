// A client with several calls under way, and workers that refuse or misuse them.
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/remote/client.h"

#include "tests/remote/the_call.h"
#include "tests/support/fake_worker.h"
#include "tests/support/leftovers.h"

namespace airlock::client_lanes_test {
namespace {

using testing::Bytes;
using testing::CallMemory;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_config;
using testing::small_fingerprint;
using testing::the_call;
using namespace std::chrono_literals;

constexpr int kLanes = 4;

/// Of a worker with lanes.
const WelcomeMessage kWelcome = testing::raw_welcome(kLanes, std::int64_t{1} << 30);

Bytes reply_frame(std::uint64_t id) {
  const TensorSpecs specs = testing::its_outputs();
  return testing::frame_bytes(FrameType::kReply, id, message_bytes(ReplyMessage{1, specs}),
                              testing::reply_payload(specs));
}

Bytes failure_frame(std::uint64_t id, ErrorCode code, const std::string& text) {
  return testing::frame_bytes(FrameType::kFailure, id, message_bytes(FailureMessage{code, text}));
}

/// Memory for kLanes calls at the same time.
std::vector<CallMemory> some_memory(const Call& call) {
  std::vector<CallMemory> memory;
  for (std::uint64_t i = 0; i < kLanes; ++i) memory.emplace_back(small_config(), call, i);
  return memory;
}

using Script = std::function<void(RawPeer&)>;
/// How each of several calls that were under way together ended; nothing: well.
using Ends = std::vector<std::optional<Error>>;

class ClientLanes : public ::testing::TestWithParam<Transport> {
 protected:
  /// Has kLanes calls (ids 1 to kLanes) under way against a worker that follows `script` once it
  /// has read `reads` of them. The session's first error ends all later calls in kConnectionLost,
  /// and nothing may be left of the session.
  Ends run(const Script& script, std::chrono::milliseconds timeout = 30s, int reads = kLanes) {
    const auto before = testing::holdings();
    auto ends = testing::make_ends(GetParam(), {.stop = stop_.token()});
    std::thread worker([&script, reads, end = std::move(ends.second)]() mutable {
      RawPeer peer(std::move(end));
      try {
        open(peer, kWelcome);
        for (int i = 0; i < reads; ++i) peer.read();
        script(peer);
        while (peer.read()) {
        }
      } catch (const Error&) {  // the client gave up: what these tests want
      }
    });
    Ends result;
    {
      ClientOptions options;
      options.lanes = kLanes;
      options.call_timeout = timeout;
      RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), options,
                          nullptr);
      EXPECT_EQ(client.lanes(), kLanes);
      std::vector<CallMemory> memory = some_memory(the_call());
      for (CallMemory& each : memory) client.submit(the_call(), each.inputs, each.outputs);
      bool over = false;
      for (int i = 0; i < kLanes; ++i) {
        result.push_back(collect(client));
        if (over) {
          EXPECT_TRUE(result.back());
          EXPECT_EQ(result.back()->code(), ErrorCode::kConnectionLost) << result.back()->what();
        }
        over = over || (result.back() && !last_was_failure_);
      }
      if (over) {
        try {
          client.execute(the_call(), memory[0].inputs, memory[0].outputs);
          ADD_FAILURE() << "a session that ended was used on";
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::kConnectionLost) << error.what();
        }
      }
    }
    worker.join();
    EXPECT_TRUE(testing::holds_no_more_than(before));
    return result;
  }

  /// The session ends at call `at` (from 0) with this error; calls before it end well.
  void expect_end(std::size_t at, ErrorCode code, const std::string& text, const Script& script,
                  std::chrono::milliseconds timeout = 30s, int reads = kLanes) {
    const Ends ends = run(script, timeout, reads);
    for (std::size_t i = 0; i < at; ++i) {
      EXPECT_FALSE(ends[i]) << "call " << i << ": " << ends[i]->what();
    }
    ASSERT_TRUE(ends[at]) << "no error, expected: " << text;
    EXPECT_EQ(ends[at]->code(), code) << ends[at]->what();
    EXPECT_NE(std::string(ends[at]->what()).find(text), std::string::npos)
        << ends[at]->what() << "\n  expected: " << text;
    EXPECT_EQ(std::string(ends[at]->what()).rfind("BatchLinear(gate,up) of layer 1: ", 0), 0U);
  }

  std::optional<Error> collect(RemoteClient& client) {
    last_was_failure_ = false;
    try {
      client.collect(client.oldest());
    } catch (const WorkerFailure& failure) {
      last_was_failure_ = true;
      return failure;
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

 private:
  bool last_was_failure_ = false;

 protected:
  const StopSource stop_;  ///< of the client's link
};

INSTANTIATE_TEST_SUITE_P(Transports, ClientLanes,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kShm),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST_P(ClientLanes, AreStoppedWithAllTheirCalls) {
  expect_end(0, ErrorCode::kInterrupted, "interrupted", [&](RawPeer&) { stop_.request_stop(); });
}

Script sends(const std::vector<Bytes>& frames) {
  return [frames](RawPeer& peer) {
    for (const Bytes& frame : frames) peer.send(frame);
  };
}

TEST_P(ClientLanes, RepliesInOrderEndEveryCallWell) {
  for (const auto& end :
       run(sends({reply_frame(1), reply_frame(2), reply_frame(3), reply_frame(4)}))) {
    EXPECT_FALSE(end);
  }
}

TEST_P(ClientLanes, RefusesRepliesOutOfOrderTwiceOrOfNoCall) {
  expect_end(0, ErrorCode::kProtocol, "answered request 2, expected 1",
             sends({reply_frame(2), reply_frame(1)}));
  expect_end(1, ErrorCode::kProtocol, "answered request 4, expected 2",
             sends({reply_frame(1), reply_frame(4), reply_frame(2)}));
  expect_end(2, ErrorCode::kProtocol, "answered request 2, expected 3",
             sends({reply_frame(1), reply_frame(2), reply_frame(2)}));
  for (const std::uint64_t id : {std::uint64_t{0}, std::uint64_t{5}, ~std::uint64_t{0}}) {
    expect_end(1, ErrorCode::kProtocol, fmt::format("answered request {}, expected 2", id),
               sends({reply_frame(1), reply_frame(id)}));
  }
}

TEST_P(ClientLanes, AReplyBeforeAnyCallIsRefusedAtTheFirst) {
  auto ends = testing::make_ends(GetParam());
  RawPeer peer(std::move(ends.second));
  peer.send(FrameType::kWelcome, 0,
            message_bytes(WelcomeMessage{small_fingerprint(), DType::kF32, "", "", kLanes, 0}));
  peer.send(reply_frame(3));
  ClientOptions options;
  options.lanes = kLanes;
  RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), options, nullptr);
  CallMemory memory(small_config(), the_call(), 1);
  client.submit(the_call(), memory.inputs, memory.outputs);
  const auto error = collect(client);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::kProtocol) << error->what();
}

TEST_P(ClientLanes, AReplyToACallThatWasNeverSentIsRefusedAtTheNextRequest) {
  auto ends = testing::make_ends(GetParam());
  RawPeer peer(std::move(ends.second));
  peer.send(FrameType::kWelcome, 0,
            message_bytes(WelcomeMessage{small_fingerprint(), DType::kF32, "", "", kLanes, 0}));
  for (const std::uint64_t id : {1, 2, 7}) peer.send(reply_frame(id));
  ClientOptions options;
  options.lanes = kLanes;
  RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), options, nullptr);
  CallMemory first(small_config(), the_call(), 1), second(small_config(), the_call(), 2);
  client.submit(the_call(), first.inputs, first.outputs);
  client.submit(the_call(), second.inputs, second.outputs);
  EXPECT_FALSE(collect(client));
  EXPECT_FALSE(collect(client));
  try {
    client.stats();
    ADD_FAILURE() << "a reply was taken for stats";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol) << error.what();
  }
}

TEST_P(ClientLanes, AFailureAmongSeveralCallsIsThatCallsOwn) {
  const Ends ends =
      run(sends({reply_frame(1), failure_frame(2, ErrorCode::kInvalidArgument, "not this one"),
                 reply_frame(3), reply_frame(4)}));
  EXPECT_FALSE(ends[0]);
  ASSERT_TRUE(ends[1]);
  EXPECT_EQ(ends[1]->code(), ErrorCode::kUnsupported);
  EXPECT_NE(std::string(ends[1]->what()).find("not this one"), std::string::npos);
  EXPECT_FALSE(ends[2]);
  EXPECT_FALSE(ends[3]);
}

TEST_P(ClientLanes, SilenceOrHalfAReplyIsATimeout) {
  expect_end(2, ErrorCode::kTimeout, "nothing arrived", sends({reply_frame(1), reply_frame(2)}),
             30ms);
  const Bytes frame = reply_frame(2);
  for (const std::size_t cut : {std::size_t{1}, std::size_t{33}, frame.size() - 1}) {
    expect_end(
        1, ErrorCode::kTimeout, "fewer than 65536 bytes a second moved",
        [&](RawPeer& peer) {
          peer.send(reply_frame(1));
          peer.send(std::span(frame).first(cut));
        },
        30ms);
  }
}

TEST_P(ClientLanes, AnEndAmongSeveralCallsIsALostConnection) {
  const Bytes frame = reply_frame(2);
  for (const std::size_t cut :
       {std::size_t{0}, std::size_t{1}, std::size_t{33}, frame.size() - 1}) {
    expect_end(1, ErrorCode::kConnectionLost, "closed", [&](RawPeer& peer) {
      peer.send(reply_frame(1));
      if (cut > 0) peer.send(std::span(frame).first(cut));
      peer.close();
    });
  }
}

TEST_P(ClientLanes, AHeaderThatLiesEndsTheSession) {
  struct Lie {
    std::size_t offset;
    std::vector<int> bytes;
    const char* text;
  };
  const Lie lies[] = {
      {0, {'H', 'T', 'T', 'P'}, "does not speak the Airlock protocol"},
      {4, {3}, "version 3"},
      {6, {0}, "unknown type 0"},
      {6, {12}, "unknown type 12"},
      {6, {3}, "a frame of type 3, expected 4"},
      {6, {8}, "a frame of type 8, expected 4"},
      {6, {11}, "a frame of type 11, expected 4"},
      {16, {0, 0, 0, 0}, "Reply message of 0 bytes"},
      {16, {0x01, 0x40, 0, 0}, "message of 16385 bytes, at most"},
      {16, {0xff, 0xff, 0xff, 0xff}, "message of 4294967295 bytes, at most"},
      {20, {1}, "reserved word"},
      {24, {0, 0, 0, 0, 0, 0, 0, 0}, "bytes of tensors"},
      {24, {1, 0, 0, 0, 0, 0, 0, 0x10}, "bytes of tensors"},
      {24, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "at most"},
  };
  for (const Lie& lie : lies) {
    SCOPED_TRACE(lie.text);
    Bytes frame = reply_frame(2);
    for (std::size_t i = 0; i < lie.bytes.size(); ++i) {
      frame[lie.offset + i] = static_cast<std::byte>(lie.bytes[i]);
    }
    expect_end(1, ErrorCode::kProtocol, lie.text, sends({reply_frame(1), frame}));
  }
}

TEST_P(ClientLanes, HearsWhyAWorkerEndsTheSession) {
  // It refuses a frame by its header, so it does not know the call.
  expect_end(1, ErrorCode::kProtocol, "the worker says: nonsense", [](RawPeer& peer) {
    peer.send(reply_frame(1));
    peer.send(failure_frame(99, ErrorCode::kProtocol, "nonsense"));
    peer.close();
  });
}

TEST_P(ClientLanes, HearsWhyAWorkerHungUpWhileItWasStillSending) {
  ModelConfig config = small_config();
  config.max_position = 1 << 20;
  Call large = the_call();
  large.op = Op::kGatedMlp;
  large.weights = {};
  large.inputs = {{DType::kF32, {1 << 19, config.hidden}}};  // 20 MiB
  std::vector<std::byte> in(static_cast<std::size_t>(large.inputs[0].bytes()));
  std::vector<std::byte> out(in.size());
  const ConstTensor input{large.inputs[0], in.data()};
  const Tensor output{large.inputs[0], out.data()};
  for (const int small_calls : {0, 1, 3}) {
    auto ends = testing::make_ends(GetParam());
    std::thread worker([&, end = std::move(ends.second)]() mutable {
      RawPeer peer(std::move(end));
      open(peer, kWelcome);
      for (int i = 0; i < small_calls; ++i) peer.read();
      Bytes header(FrameHeader::kBytes);
      peer.link().receive(header);
      for (int i = 0; i < small_calls; ++i) {
        peer.send(reply_frame(1 + static_cast<std::uint64_t>(i)));
      }
      // The worker of this project refuses by the header, and tells the last request it has read.
      peer.send(failure_frame(0, ErrorCode::kResourceExhausted, "raise --max-payload"));
      peer.close();
    });
    ClientOptions options;
    options.lanes = kLanes;
    options.shared_bytes = 0;  // all of it has to go through the link
    RemoteClient client(std::move(ends.first), config, small_fingerprint(), options, nullptr);
    std::vector<CallMemory> memory = some_memory(the_call());
    for (int i = 0; i < small_calls; ++i) {
      CallMemory& each = memory[static_cast<std::size_t>(i)];
      client.submit(the_call(), each.inputs, each.outputs);
    }
    client.submit(large, {&input, 1}, {&output, 1});
    for (int i = 0; i < small_calls; ++i) {
      const auto error = collect(client);
      EXPECT_FALSE(error) << error->what();
    }
    const auto error = collect(client);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::kResourceExhausted) << error->what();
    EXPECT_NE(std::string(error->what()).find("the worker says: raise --max-payload"),
              std::string::npos)
        << error->what();
    worker.join();
  }
}

TEST_P(ClientLanes, ARealWorkersRefusalOfALargePayloadIsHeardWithLanes) {
  ServerOptions server;
  server.max_payload = 1000;
  testing::FakeWorker worker(small_config(), server);
  ClientOptions options;
  options.lanes = kLanes;
  RemoteClient client(worker.dial(GetParam()), small_config(), small_fingerprint(), options,
                      nullptr);
  const Call mlp = testing::legal_calls(small_config(), 59, DType::kF32)[10].call;
  std::vector<CallMemory> memory = some_memory(mlp);
  for (CallMemory& each : memory) client.submit(mlp, each.inputs, each.outputs);
  const auto error = collect(client);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::kProtocol) << error->what();
  EXPECT_NE(std::string(error->what()).find("at most 1000 are allowed"), std::string::npos)
      << error->what();
  client.abandon();
}

}  // namespace
}  // namespace airlock::client_lanes_test
