// Hostile runners against one conversation of a worker, which must end and leave nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "airlock/remote/client.h"
#include "airlock/worker/conversation.h"

#include "tests/support/fake_backend.h"
#include "tests/support/leftovers.h"
#include "tests/support/link_pair.h"
#include "tests/support/raw_peer.h"
#include "tests/support/runner.h"

namespace airlock::testing {

/// The hostile runners' call where they make one: x [3, 10] -> two of [3, 14].
inline Call small_call() {
  return legal_calls(small_config(), 3, DType::kF32)[3].call;
}

/// A worker that survives one hostile runner after another.
class HostileRunners : public ::testing::Test {
 protected:
  explicit HostileRunners(Transport over) : transport(over) {
    options.stall_timeout = std::chrono::seconds(30);
    options.max_payload = 1 << 20;
  }

  /// Runs `runner` against a conversation; then the conversation must have ended, or end when the
  /// runner is gone, nothing of it may be left, and an honest runner must find the worker in order.
  void against(const std::function<void(RawPeer&)>& runner) {
    const Holdings before = holdings();
    meet(runner);
    EXPECT_EQ(FakeSequence::alive(), 0);
    EXPECT_TRUE(holds_no_more_than(before));
    backend.during = nullptr;
    if (serves_on) expect_service();
  }

  /// A runner that leaves in the middle of a call which `send` has asked for.
  void leaves_in_a_call(const std::function<void(RawPeer&)>& send) {
    std::atomic<bool> running{false};
    std::atomic<bool> gone{false};
    backend.during = [&](const Call&) {
      running = true;
      while (!gone) std::this_thread::yield();
    };
    against([&](RawPeer& peer) {
      open(peer);
      send(peer);
      while (!running) std::this_thread::yield();
      peer.close();
      gone = true;
    });
  }

  /// The backend is as good as before for a runner that has time.
  void expect_service() {
    ServerOptions patient = options;
    patient.stall_timeout = std::chrono::seconds(30);
    ServerContext own{backend, small_fingerprint(), patient, {backend, {}}, {}};
    auto ends = make_ends(transport);
    Conversation conversation(own, std::move(ends.second));
    std::thread thread([&] { conversation.run(); });
    try {
      RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), {}, nullptr);
      expect_all_answers(client, small_config(), 2, 5);
    } catch (const Error& error) {
      ADD_FAILURE() << "an honest runner found no service: " << error.what();
    }
    thread.join();
  }

  /// `peer` says Hello and is welcome.
  void open(RawPeer& peer) const {
    if (sent_before.empty()) {
      peer.send(FrameType::kHello, 0,
                message_bytes(HelloMessage{small_fingerprint(), "raw peer", lanes}));
    }
    const auto frame = peer.read();
    ASSERT_TRUE(frame);
    ASSERT_EQ(frame->header.type, FrameType::kWelcome);
    EXPECT_EQ(parse_welcome(frame->message).fingerprint, small_fingerprint());
    EXPECT_EQ(parse_welcome(frame->message).lanes, lanes);
  }
  static void send_call(RawPeer& peer, std::uint64_t id) {
    const Call call = small_call();
    peer.send(FrameType::kCall, id, message_bytes(call),
              Bytes(static_cast<std::size_t>(call.inputs[0].bytes())));
  }
  static void expect_answer(RawPeer& peer, std::uint64_t id) {
    const auto frame = peer.read();
    ASSERT_TRUE(frame);
    ASSERT_EQ(frame->header.type, FrameType::kReply);
    EXPECT_EQ(frame->header.request_id, id);
    EXPECT_EQ(parse_reply(frame->message).outputs, infer_outputs(small_config(), small_call()));
  }
  /// A legal call gets its reply.
  static void expect_reply(RawPeer& peer, std::uint64_t id) {
    send_call(peer, id);
    expect_answer(peer, id);
  }
  static void expect_failure(RawPeer& peer, ErrorCode code, const std::string& text) {
    const FailureMessage failure = peer.read_failure();
    EXPECT_EQ(failure.code, code) << failure.text;
    EXPECT_NE(failure.text.find(text), std::string::npos)
        << failure.text << "\n  expected: " << text;
  }
  /// One message that ends the conversation with a reason.
  void expect_end(const Bytes& bytes, const std::string& reason, bool after_hello = false) {
    against([&](RawPeer& peer) {
      if (after_hello) open(peer);
      peer.send(bytes);
      expect_failure(peer, ErrorCode::kProtocol, reason);
      EXPECT_FALSE(peer.read());
    });
  }

  const Transport transport;
  FakeBackend backend;
  ServerOptions options;
  const ServerContext* context = nullptr;  ///< while a runner is met
  int lanes = 1;                           ///< that the hostile runners ask for
  bool serves_on = true;
  /// What lies in the link before the conversation begins, so that short limits do not race it.
  Bytes sent_before;

 private:
  void meet(const std::function<void(RawPeer&)>& runner) {
    ServerContext shared{
        backend, small_fingerprint(), options, {backend, options.session_limits()}, {}};
    context = &shared;
    auto ends = make_ends(transport);
    RawPeer peer(std::move(ends.first));
    if (!sent_before.empty()) peer.send(sent_before);
    Conversation conversation(shared, std::move(ends.second));
    std::thread thread([&] { conversation.run(); });
    try {
      runner(peer);
    } catch (const Error& error) {
      ADD_FAILURE() << "the hostile runner failed: " << error.what();
    }
    peer.close();
    thread.join();
    EXPECT_TRUE(conversation.done());
    EXPECT_EQ(shared.sessions.size(), 0);
    EXPECT_EQ(shared.pool.bytes_in_use(), 0U);
    context = nullptr;
  }
};

}  // namespace airlock::testing
