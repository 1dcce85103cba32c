// A client with several calls under way, and workers that keep to the protocol.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/remote/client.h"

#include "tests/remote/the_call.h"
#include "tests/support/fake_worker.h"
#include "tests/support/leftovers.h"

namespace airlock::client_pipeline_test {
namespace {

using testing::CallMemory;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_config;
using testing::small_fingerprint;
using testing::the_call;

constexpr int kLanes = 4;

class ClientPipeline : public ::testing::TestWithParam<Transport> {};

INSTANTIATE_TEST_SUITE_P(Transports, ClientPipeline,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kShm),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST_P(ClientPipeline, CallsUnderWayTogetherGetTheirOwnAnswers) {
  testing::FakeWorker worker(small_config());
  for (int lanes = 1; lanes <= HelloMessage::kMaxLanes; lanes += 5) {
    ClientOptions options;
    options.lanes = lanes;
    MemoryLedger ledger;
    RemoteClient client(worker.dial(GetParam()), small_config(), small_fingerprint(), options,
                        &ledger);
    ASSERT_EQ(client.lanes(), lanes);
    const auto calls = testing::legal_calls(small_config(), 2, DType::kF32);
    std::vector<CallMemory> memory;
    for (std::uint64_t i = 0; i < 48; ++i) {
      memory.emplace_back(small_config(), calls[i % calls.size()].call, i);
    }
    for (std::size_t i = 0; i < memory.size() + static_cast<std::size_t>(lanes); ++i) {
      if (i >= static_cast<std::size_t>(lanes)) client.collect(client.oldest());
      if (i >= memory.size()) continue;
      client.submit(calls[i % calls.size()].call, memory[i].inputs, memory[i].outputs);
    }
    for (const CallMemory& each : memory) EXPECT_TRUE(each.answered());
    EXPECT_EQ(ledger.entries().size(), memory.size());
    EXPECT_EQ(client.stats().sessions, 1);
  }
}

TEST_P(ClientPipeline, ASequenceEndsWithoutAnAnswerWhetherCallsAreUnderWayOrNot) {
  testing::FakeWorker worker(small_config());
  ClientOptions options;
  options.lanes = 2;
  RemoteClient client(worker.dial(GetParam()), small_config(), small_fingerprint(), options,
                      nullptr);
  std::vector<Call> calls(3, testing::legal_calls(small_config(), 2, DType::kF32)[9].call);
  std::vector<CallMemory> memory;
  for (std::uint32_t i = 0; i < 3; ++i) {
    calls[i].ranges = {{i, 2, 0}};
    memory.emplace_back(small_config(), calls[i], i);
    client.execute(calls[i], memory[i].inputs, memory[i].outputs);
  }
  EXPECT_EQ(client.stats().kv_bytes, 6 * testing::FakeSequence::kRowBytes);
  client.end_sequence(0);
  EXPECT_EQ(client.stats().kv_bytes, 4 * testing::FakeSequence::kRowBytes);
  for (std::uint32_t i = 1; i < 3; ++i) {
    calls[i].ranges = {{2, 2, 2 * i}};
    client.submit(calls[i], memory[i].inputs, memory[i].outputs);
  }
  client.end_sequence(1);
  client.collect(client.oldest());
  client.collect(client.oldest());
  EXPECT_EQ(client.stats().kv_bytes, 6 * testing::FakeSequence::kRowBytes);
}

TEST_P(ClientPipeline, TakesNoMoreLanesThanTheWorkerHas) {
  for (const auto& [offered, taken] : {std::pair(0, 1), {1, 1}, {3, 3}, {200, kLanes}}) {
    auto ends = testing::make_ends(GetParam());
    RawPeer peer(std::move(ends.second));
    peer.send(FrameType::kWelcome, 0,
              message_bytes(WelcomeMessage{small_fingerprint(), DType::kF32, "", "", offered, 0}));
    ClientOptions options;
    options.lanes = kLanes;
    RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), options,
                        nullptr);
    EXPECT_EQ(client.lanes(), taken);
  }
}

TEST_P(ClientPipeline, GoesAwayWithCallsUnderWay) {
  const auto before = testing::holdings();
  {
    testing::FakeWorker worker(small_config());
    ClientOptions options;
    options.lanes = kLanes;
    CallMemory memory(small_config(), the_call(), 1);
    for (int i = 0; i < 20; ++i) {
      RemoteClient client(worker.dial(GetParam()), small_config(), small_fingerprint(), options,
                          nullptr);
      for (int call = 0; call < i % (kLanes + 1); ++call) {
        client.submit(the_call(), memory.inputs, memory.outputs);
      }
    }
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
  EXPECT_EQ(testing::FakeSequence::alive(), 0);
}

}  // namespace
}  // namespace airlock::client_pipeline_test
