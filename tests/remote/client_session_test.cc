// What ends a client's session for good and what it outlives, and what never leaves it.
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/remote/client.h"

#include "tests/remote/the_call.h"
#include "tests/support/link_pair.h"

namespace airlock::client_session_test {
namespace {

using testing::Bytes;
using testing::its_outputs;
using testing::message_bytes;
using testing::open;
using testing::RawPeer;
using testing::reply;
using testing::small_config;
using testing::small_fingerprint;
using testing::the_call;

class ClientSession : public ::testing::TestWithParam<Transport> {};

INSTANTIATE_TEST_SUITE_P(Transports, ClientSession,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kShm),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST_P(ClientSession, IsClosedForGoodAfterABrokenProtocol) {
  auto ends = testing::make_ends(GetParam());
  RawPeer peer(std::move(ends.second));
  peer.send(FrameType::kWelcome, 0, message_bytes(testing::raw_welcome()));
  reply(peer, 7, its_outputs());
  reply(peer, 2, its_outputs());  // would be the right answer to the next call
  RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), {}, nullptr);
  testing::CallMemory memory(small_config(), the_call(), 1);
  EXPECT_THROW(client.execute(the_call(), memory.inputs, memory.outputs), Error);
  try {
    client.execute(the_call(), memory.inputs, memory.outputs);
    ADD_FAILURE() << "a session that broke was used on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConnectionLost) << error.what();
  }
}

TEST_P(ClientSession, HearsWhyAWorkerHungUpWhileItWasStillSending) {
  ModelConfig config = small_config();
  config.max_position = 1 << 20;
  auto ends = testing::make_ends(GetParam());
  std::thread worker([end = std::move(ends.second)]() mutable {
    RawPeer peer(std::move(end));
    open(peer);
    Bytes header(FrameHeader::kBytes);
    peer.link().receive(header);
    peer.send(FrameType::kFailure, 1,
              message_bytes(FailureMessage{ErrorCode::kResourceExhausted, "too much"}));
    peer.close();
  });
  RemoteClient client(std::move(ends.first), config, small_fingerprint(), {}, nullptr);
  Call call = the_call();
  call.op = Op::kGatedMlp;
  call.weights = {};
  const std::int64_t tokens = 1 << 19;
  call.inputs = {{DType::kF32, {tokens, config.hidden}}};
  std::vector<std::byte> in(static_cast<std::size_t>(call.inputs[0].bytes()));
  std::vector<std::byte> out(in.size());
  const ConstTensor input{call.inputs[0], in.data()};
  const Tensor output{call.inputs[0], out.data()};
  try {
    client.execute(call, {&input, 1}, {&output, 1});
    ADD_FAILURE() << "a call succeeded on a closed link";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
    EXPECT_NE(std::string(error.what()).find("the worker says: too much"), std::string::npos);
  }
  worker.join();
}

TEST_P(ClientSession, AnIllegalCallNeverLeavesAndTheSessionGoesOn) {
  auto ends = testing::make_ends(GetParam());
  RawPeer peer(std::move(ends.second));
  peer.send(FrameType::kWelcome, 0, message_bytes(testing::raw_welcome()));
  reply(peer, 1, its_outputs());
  RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), {}, nullptr);
  testing::CallMemory memory(small_config(), the_call(), 1);
  Call illegal = the_call();
  illegal.layer = 2;
  EXPECT_THROW(client.execute(illegal, memory.inputs, memory.outputs), Error);
  const std::span outputs(memory.outputs);
  EXPECT_THROW(client.execute(the_call(), memory.inputs, outputs.first(1)), Error);
  EXPECT_THROW(client.execute(the_call(), {}, outputs), Error);
  Tensor narrow[2] = {outputs[0], outputs[1]};
  narrow[1].spec.shape = {3, 13};
  EXPECT_THROW(client.execute(the_call(), memory.inputs, narrow), Error);
  EXPECT_NO_THROW(client.execute(the_call(), memory.inputs, outputs));
  EXPECT_EQ(peer.read()->header.type, FrameType::kHello);
  EXPECT_EQ(peer.read()->header.request_id, 1U);
}

TEST_P(ClientSession, RefusesStatsThatAreNone) {
  for (const Bytes& answer :
       {testing::frame_bytes(FrameType::kStats, 1, Bytes(3)),
        testing::frame_bytes(FrameType::kReply, 1, message_bytes(WorkerStats{})),
        testing::frame_bytes(FrameType::kStats, 1, message_bytes(WorkerStats{}), Bytes(64)),
        testing::frame_bytes(FrameType::kStats, 1, message_bytes(WorkerStats{-1, 0, 0, 0, 0}))}) {
    auto ends = testing::make_ends(GetParam());
    RawPeer peer(std::move(ends.second));
    peer.send(FrameType::kWelcome, 0, message_bytes(testing::raw_welcome()));
    peer.send(answer);
    RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), {}, nullptr);
    try {
      client.stats();
      ADD_FAILURE() << "absurd stats were believed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kProtocol) << error.what();
      EXPECT_EQ(std::string(error.what()).rfind("Stats: ", 0), 0U) << error.what();
    }
  }
}

}  // namespace
}  // namespace airlock::client_session_test
