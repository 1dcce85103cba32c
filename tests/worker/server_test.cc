#include "airlock/worker/server.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/stop.h"
#include "airlock/link/connect.h"
#include "airlock/remote/client.h"

#include "tests/support/fake_backend.h"
#include "tests/support/leftovers.h"
#include "tests/support/raw_peer.h"
#include "tests/support/runner.h"

namespace airlock::server_test {
namespace {

using testing::FakeBackend;
using testing::FakeSequence;
using testing::RawPeer;
using testing::small_config;
using testing::small_fingerprint;
using namespace std::chrono_literals;

/// A server that listens, on a thread of its own.
class ServerTest : public ::testing::TestWithParam<Transport> {
 protected:
  ServerTest() {
    static std::atomic<int> counter{0};
    const std::string name = fmt::format("airlock-server-test-{}-{}", ::getpid(), ++counter);
    switch (GetParam()) {
      case Transport::kInproc:
        uri = parse_uri("inproc:" + name);
        break;
      case Transport::kUnix:
        uri = parse_uri("unix://@" + name);
        break;
      default:
        uri = parse_uri("tcp://127.0.0.1:0");
    }
    options.stall_timeout = 30s;
  }
  ~ServerTest() override { stop(); }

  void start() {
    listener = listen(uri, {.stop = stop_source.token()});
    uri = listener->local_uri();
    server.emplace(backend, small_fingerprint(), options);
    thread = std::thread([this] { server->serve(*listener); });
  }
  /// start() for a backend that a call loses: serves all who come, or the first one as a private
  /// worker does; `ended_with` is what that threw, once `thread` has ended.
  void start_and_lose_backend(bool privately) {
    backend.during = [this](const Call&) {
      backend.is_lost = true;
      fail(ErrorCode::kInternal, "an illegal memory access was encountered");
    };
    listener = listen(uri, {.stop = stop_source.token()});
    uri = listener->local_uri();
    server.emplace(backend, small_fingerprint(), options);
    thread = std::thread([this, privately] {
      try {
        privately ? server->serve(listener->accept()) : server->serve(*listener);
      } catch (const Error& error) {
        ended_with = error.what();
      }
    });
  }
  void stop() {
    if (listener) listener->close();
    if (thread.joinable()) thread.join();
    server.reset();
  }

  std::unique_ptr<Link> dial() const { return connect(uri, {.connect_timeout = 30s}); }
  std::unique_ptr<RemoteClient> runner() const {
    return std::make_unique<RemoteClient>(dial(), small_config(), small_fingerprint(),
                                          ClientOptions(), nullptr);
  }
  /// Why no runner can be had.
  std::optional<Error> refusal() const {
    try {
      runner();
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }
  /// Rows [position, position + tokens) into the cache of sequence 0.
  static void append(RemoteClient& client, std::int64_t position, std::int64_t tokens,
                     std::uint32_t sequence = 0) {
    Call call;
    call.op = Op::kAttentionBlock;
    call.layer = 0;
    call.ranges = {{sequence, static_cast<std::int32_t>(tokens), position}};
    call.inputs = {{DType::kF32, {tokens, small_config().hidden}}};
    testing::expect_answer(client, small_config(), call, 1);
  }
  static ErrorCode append_error(RemoteClient& client, std::int64_t position, std::int64_t tokens,
                                std::uint32_t sequence = 0) {
    try {
      append(client, position, tokens, sequence);
    } catch (const WorkerFailure& failure) {
      return failure.code();
    }
    ADD_FAILURE() << "the call succeeded";
    return ErrorCode::kInternal;
  }

  FakeBackend backend;
  ServerOptions options;
  StopSource stop_source;
  Uri uri;
  std::unique_ptr<Listener> listener;
  std::optional<Server> server;
  std::thread thread;
  std::string ended_with;
};

INSTANTIATE_TEST_SUITE_P(Transports, ServerTest,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kTcp),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST_P(ServerTest, ServesRunnersOneAfterAnother) {
  start();
  for (int i = 0; i < 30; ++i) testing::expect_all_answers(*runner(), small_config(), 3, 7);
  stop();
  EXPECT_EQ(FakeSequence::alive(), 0);
}

TEST_P(ServerTest, ServesRunnersAtTheSameTime) {
  start();
  std::vector<std::thread> runners;
  for (std::uint64_t i = 0; i < 8; ++i) {
    runners.emplace_back([this, i] {
      const auto client = runner();
      for (std::uint64_t round = 0; round < 5; ++round) {
        testing::expect_all_answers(*client, small_config(), 1 + static_cast<std::int64_t>(i), i);
      }
    });
  }
  for (std::thread& each : runners) each.join();
  EXPECT_EQ(backend.calls, 8 * 5 * 12);
}

TEST_P(ServerTest, TellsARunnerTooManyAndTakesTheNextOnceOneIsGone) {
  options.max_sessions = 2;
  start();
  auto first = runner();
  auto second = runner();
  const auto refused = refusal();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), ErrorCode::kResourceExhausted) << refused->what();
  first.reset();
  while (server->stats().sessions == 2) std::this_thread::yield();
  testing::expect_all_answers(*runner(), small_config(), 2, 3);
  testing::expect_all_answers(*second, small_config(), 2, 3);
}

TEST_P(ServerTest, SilentConnectionsTakeNobodysPlace) {
  options.max_sessions = 2;
  options.max_greeting = 3;
  options.hello_timeout = 30s;
  start();
  std::vector<std::unique_ptr<Link>> silent;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(dial());
    if (i % 10 == 0) testing::expect_all_answers(*runner(), small_config(), 2, 3);
  }
  const auto client = runner();
  testing::expect_all_answers(*client, small_config(), 2, 3);
  for (int i = 0; i < 36; ++i) {  // the oldest went for those who came later
    EXPECT_FALSE(silent[static_cast<std::size_t>(i)]->wait_readable(30s)) << i;
  }
}

TEST_P(ServerTest, ASilentConnectionIsClosedAfterTheHelloTimeout) {
  options.hello_timeout = 20ms;
  start();
  EXPECT_FALSE(dial()->wait_readable(30s));
}

TEST_P(ServerTest, ASessionWithoutACallForLongGivesItsPlaceToARunnerThatNeedsIt) {
  options.max_sessions = 1;
  options.session_idle = 0ms;
  start();
  const auto first = runner();
  append(*first, 0, 1);
  std::unique_ptr<RemoteClient> second;
  while (!second) {  // the worker may not be done with the answer that first has
    try {
      second = runner();
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
    }
  }
  testing::expect_all_answers(*second, small_config(), 2, 3);
  try {
    append(*first, 1, 1);
    ADD_FAILURE() << "the session was kept";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kSessionLost) << error.what();
    EXPECT_NE(std::string(error.what()).find("another runner needed its place"), std::string::npos)
        << error.what();
  }
}

TEST_P(ServerTest, ASessionInACallKeepsItsPlace) {
  options.max_sessions = 1;
  options.session_idle = 0ms;
  std::atomic<bool> running{false};
  std::atomic<bool> release{false};
  backend.during = [&](const Call&) {
    running = true;
    while (!release) std::this_thread::yield();
  };
  start();
  const auto client = runner();
  std::thread caller([&] { append(*client, 0, 1); });
  while (!running) std::this_thread::yield();
  for (int i = 0; i < 5; ++i) {
    const auto refused = refusal();
    EXPECT_TRUE(refused && refused->code() == ErrorCode::kResourceExhausted);
  }
  release = true;
  caller.join();
  append(*client, 1, 1);
}

TEST_P(ServerTest, WhatARunnerHeldIsFreedThoughNobodyComesAfterIt) {
  start();
  { (void)runner(); }
  const testing::Holdings before = testing::holdings();
  // No more in all than there are places: a worker may be slow to see that a runner has gone.
  for (int i = 0; i < 5; ++i) {
    std::vector<std::unique_ptr<RemoteClient>> many;
    for (int j = 0; j < 3; ++j) many.push_back(runner());
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

/// A kernel that faults takes the GPU's context with it.
TEST_P(ServerTest, EndsOnceItsBackendIsLostAndTellsTheRunnerWhy) {
  start_and_lose_backend(false);
  const auto bystander = runner();
  {
    const auto client = runner();
    try {
      append(*client, 0, 1);
      ADD_FAILURE() << "the call succeeded";
    } catch (const WorkerFailure& failure) {
      EXPECT_NE(std::string(failure.what()).find("illegal memory access"), std::string::npos);
    }
  }
  thread.join();
  EXPECT_NE(ended_with.find("start the worker again"), std::string::npos) << ended_with;
  EXPECT_THROW(append(*bystander, 0, 1), Error);
  EXPECT_TRUE(refusal());
}

TEST_P(ServerTest, APrivateWorkerEndsToo) {
  start_and_lose_backend(true);
  const auto client = runner();
  EXPECT_EQ(append_error(*client, 0, 1), ErrorCode::kInternal);
  thread.join();
  EXPECT_NE(ended_with.find("start the worker again"), std::string::npos) << ended_with;
}

TEST_P(ServerTest, AHostileRunnerDoesNotDisturbAnother) {
  start();
  const auto client = runner();
  for (int i = 0; i < 10; ++i) {
    RawPeer hostile(dial());
    hostile.send(testing::bytes_of("GET / HTTP/1.0\r\n\r\n_______________"));
    testing::expect_all_answers(*client, small_config(), 2, 3);
  }
}

TEST_P(ServerTest, TellsARunnerWhoseTensorsAreTooLargeByHowMuch) {
  options.max_payload = 1000;
  start();
  const auto client = runner();
  try {
    const Call mlp = testing::legal_calls(small_config(), 59, DType::kF32)[10].call;
    testing::expect_answer(*client, small_config(), mlp, 1);
    ADD_FAILURE() << "a payload past the limit was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol);
    EXPECT_NE(std::string(error.what()).find("at most 1000 are allowed"), std::string::npos)
        << error.what();
  }
}

TEST_P(ServerTest, AnIdleRunnerLosesItsCacheToAnotherAndCanStartOver) {
  options.kv_budget = 10 * FakeSequence::kRowBytes;
  options.idle_timeout = 0ms;
  start();
  const auto first = runner();
  const auto second = runner();
  append(*first, 0, 6);
  append(*second, 0, 6);
  EXPECT_EQ(append_error(*first, 6, 1), ErrorCode::kSessionLost);
  append(*first, 0, 6);
  append(*first, 6, 1);
  EXPECT_EQ(append_error(*second, 6, 1), ErrorCode::kSessionLost);
  EXPECT_LE(server->stats().kv_bytes, options.kv_budget);
}

TEST_P(ServerTest, AnEndedSequenceMakesRoomForTheNextInOneOrder) {
  options.kv_budget = 10 * FakeSequence::kRowBytes;
  options.max_sequences = 2;
  options.idle_timeout = 1h;
  start();
  const auto client = runner();
  append(*client, 0, 4, 1);
  append(*client, 0, 4, 2);
  EXPECT_EQ(append_error(*client, 0, 1, 3), ErrorCode::kResourceExhausted);
  for (std::uint32_t id = 3; id < 20; ++id) {
    client->end_sequence(id - 1);
    append(*client, 0, 4, id);  // were the frame before it overtaken, there would be no room
    append(*client, 4, 1, id);
  }
  append(*client, 4, 1, 1);
  client->end_sequence(777);  // of which the worker has not heard
  append(*client, 4, 1, 1);
  EXPECT_EQ(server->stats().kv_bytes, 10 * FakeSequence::kRowBytes);
}

TEST_P(ServerTest, TellsARunnerNothingOfTheOthers) {
  start();
  const auto first = runner();
  const auto second = runner();
  append(*first, 0, 6);
  append(*second, 0, 3);
  const WorkerStats stats = second->stats();
  EXPECT_EQ(stats.sessions, 1);
  EXPECT_EQ(stats.kv_bytes, 3 * FakeSequence::kRowBytes);
  EXPECT_EQ(stats.resident_bytes, 0);
  EXPECT_EQ(stats.peak_resident_bytes, 0);
  EXPECT_EQ(server->stats().sessions, 2);
  EXPECT_EQ(server->stats().kv_bytes, 9 * FakeSequence::kRowBytes);
}

TEST_P(ServerTest, APrivateWorkersRunnerMayKnowWhatTheProcessTakes) {
  listener = listen(uri, {.stop = stop_source.token()});
  uri = listener->local_uri();
  server.emplace(backend, small_fingerprint(), options);
  thread = std::thread([this] { server->serve(listener->accept()); });
  const auto client = runner();
  EXPECT_GT(client->stats().resident_bytes, 0);
}

TEST_P(ServerTest, ABudgetThatBusyRunnersHoldRefusesTheCall) {
  options.kv_budget = 10 * FakeSequence::kRowBytes;
  options.idle_timeout = 1h;
  start();
  const auto first = runner();
  auto second = runner();
  append(*first, 0, 6);
  EXPECT_EQ(append_error(*second, 0, 6), ErrorCode::kResourceExhausted);
  append(*second, 0, 4);
  append(*first, 0, 6);
  second.reset();
  while (server->stats().sessions == 2) std::this_thread::yield();
  append(*first, 6, 4);
}

TEST_P(ServerTest, ClosingTheListenerEndsServeAndTheSessions) {
  start();
  const auto client = runner();
  append(*client, 0, 1);
  listener->close();
  thread.join();
  EXPECT_EQ(server->stats().sessions, 0);
  try {
    append(*client, 1, 1);
    ADD_FAILURE() << "a session outlived its server";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConnectionLost) << error.what();
  }
}

TEST_P(ServerTest, AStopOfTheListenerEndsServeAndTheSessions) {
  start();
  RawPeer peer(dial());
  peer.hello(small_fingerprint());
  ASSERT_TRUE(peer.read());
  stop_source.request_stop();
  thread.join();
  EXPECT_EQ(server->stats().sessions, 0);
  EXPECT_FALSE(peer.read());
}

TEST_P(ServerTest, DestructionEndsSessionsThatRunACall) {
  std::atomic<bool> running{false};
  backend.during = [&](const Call&) {
    running = true;
    std::this_thread::sleep_for(20ms);
  };
  start();
  auto client = runner();
  std::optional<ErrorCode> ended;
  std::thread caller([&] {
    try {
      while (true) append(*client, 0, 1);
    } catch (const Error& error) {
      ended = error.code();
    }
  });
  while (!running) std::this_thread::yield();
  stop();
  caller.join();
  EXPECT_EQ(ended, ErrorCode::kConnectionLost);
  EXPECT_EQ(FakeSequence::alive(), 0);
}

}  // namespace
}  // namespace airlock::server_test
