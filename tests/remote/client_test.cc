#include "airlock/remote/client.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/remote/the_call.h"
#include "tests/support/link_pair.h"

namespace airlock::client_test {
namespace {

using testing::Bytes;
using testing::bytes_of;
using testing::its_outputs;
using testing::message_bytes;
using testing::open;
using testing::RawPeer;
using testing::reply;
using testing::reply_payload;
using testing::small_config;
using testing::small_fingerprint;
using testing::the_call;
using namespace std::chrono_literals;

const WelcomeMessage kWelcome = testing::raw_welcome();

using Script = std::function<void(RawPeer&)>;

/// A client against a worker that follows a script and then waits until the client is gone.
class ClientTest : public ::testing::TestWithParam<Transport> {
 protected:
  /// Runs `calls` calls; the error that ended them, if one did.
  std::optional<Error> run(const Script& script, std::chrono::milliseconds timeout = 30s,
                           int calls = 1, DType wire = DType::kF32) {
    auto ends = testing::make_ends(GetParam(), {.stop = stop.token()});
    std::thread worker([&script, end = std::move(ends.second)]() mutable {
      RawPeer peer(std::move(end));
      try {
        script(peer);
        while (peer.read()) {
        }
      } catch (const Error&) {  // the client gave up: what these tests want
      }
    });
    std::optional<Error> caught;
    try {
      ClientOptions options;
      options.call_timeout = options.hello_timeout = timeout;
      RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), options,
                          &ledger);
      testing::CallMemory memory(small_config(), the_call(wire), 1);
      for (int i = 0; i < calls; ++i) {
        try {
          client.execute(the_call(wire), memory.inputs, memory.outputs);
        } catch (const WorkerFailure& failure) {
          failures.push_back(failure.what());
          caught = failure;
        }
      }
    } catch (const Error& error) {
      caught = error;
    }
    worker.join();
    return caught;
  }

  void expect(ErrorCode code, const std::string& text, const Script& script,
              std::chrono::milliseconds timeout = 30s, int calls = 1) {
    const auto error = run(script, timeout, calls);
    ASSERT_TRUE(error) << "no error, expected: " << text;
    EXPECT_EQ(error->code(), code) << error->what();
    EXPECT_NE(std::string(error->what()).find(text), std::string::npos)
        << error->what() << "\n  expected: " << text;
  }
  /// After a good Hello, during the call.
  void expect_in_call(ErrorCode code, const std::string& text, const Script& answer,
                      std::chrono::milliseconds timeout = 30s) {
    const auto error = run(
        [&](RawPeer& peer) {
          open(peer);
          peer.read();
          answer(peer);
        },
        timeout);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), code) << error->what();
    EXPECT_EQ(std::string(error->what()).rfind("BatchLinear(gate,up) of layer 1: ", 0), 0U)
        << error->what();
    EXPECT_NE(std::string(error->what()).find(text), std::string::npos)
        << error->what() << "\n  expected: " << text;
  }

  const StopSource stop;  ///< of the client's link
  MemoryLedger ledger;
  std::vector<std::string> failures;
};

INSTANTIATE_TEST_SUITE_P(Transports, ClientTest,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kShm),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST_P(ClientTest, IsStoppedWhileItWaitsForTheReply) {
  expect_in_call(ErrorCode::kInterrupted, "interrupted", [&](RawPeer&) { stop.request_stop(); });
}

TEST_P(ClientTest, TakesAnHonestReplyAndWritesItsBytesToTheLedger) {
  EXPECT_FALSE(run([](RawPeer& peer) {
    open(peer);
    reply(peer, peer.read()->header.request_id, its_outputs());
  }));
  ASSERT_EQ(ledger.entries().size(), 1U);
  const LedgerEntry& entry = ledger.entries()[0];
  EXPECT_EQ(entry.sent_bytes, 3 * 10 * 4);
  EXPECT_EQ(entry.received_bytes, 2 * 3 * 14 * 4);
  EXPECT_EQ(entry.link, transport_name(GetParam()));
}

TEST_P(ClientTest, RefusesWhateverIsNoWelcome) {
  const auto answer = [](Bytes bytes) {
    return [bytes = std::move(bytes)](RawPeer& peer) {
      peer.read();
      peer.send(bytes);
    };
  };
  struct Case {
    ErrorCode code;
    const char* text;
    Bytes bytes;
  };
  Bytes version = testing::frame_bytes(FrameType::kWelcome, 0, message_bytes(kWelcome));
  version[4] = std::byte{1};
  WelcomeMessage other = kWelcome;
  other.fingerprint[31] ^= 1;
  const Case cases[] = {
      {ErrorCode::kProtocol, "does not speak the Airlock protocol",
       bytes_of("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n")},
      {ErrorCode::kProtocol, "does not speak the Airlock protocol", Bytes(64)},
      {ErrorCode::kProtocol, "version 1 of the Airlock protocol, expected 2", version},
      {ErrorCode::kProtocol, "answered request 1, expected 0",
       testing::frame_bytes(FrameType::kWelcome, 1, message_bytes(kWelcome))},
      {ErrorCode::kProtocol, "a frame of type 4, expected 2",
       testing::frame_bytes(FrameType::kReply, 0, message_bytes(ReplyMessage{}))},
      {ErrorCode::kProtocol, "Welcome message of 0 bytes is malformed",
       testing::frame_bytes(FrameType::kWelcome, 0, {})},
      {ErrorCode::kProtocol, "no fingerprint of 32 bytes",
       testing::frame_bytes(FrameType::kWelcome, 0, message_bytes(ReplyMessage{}))},
      {ErrorCode::kProtocol, "64 bytes of tensors where none belong",
       testing::frame_bytes(FrameType::kWelcome, 0, message_bytes(kWelcome), Bytes(64))},
      {ErrorCode::kProtocol, "message of 4294967295 bytes, at most",
       testing::frame_bytes(FrameHeader{FrameType::kWelcome, 0, 0xffffffff, 0}, {})},
      {ErrorCode::kModelMismatch, "another model",
       testing::frame_bytes(FrameType::kWelcome, 0, message_bytes(other))},
      {ErrorCode::kModelMismatch, "the worker says: other",
       testing::frame_bytes(FrameType::kFailure, 0,
                            message_bytes(FailureMessage{ErrorCode::kModelMismatch, "other"}))},
      {ErrorCode::kResourceExhausted, "the worker says: full",
       testing::frame_bytes(FrameType::kFailure, 0,
                            message_bytes(FailureMessage{ErrorCode::kResourceExhausted, "full"}))},
  };
  for (const Case& c : cases) {
    expect(c.code, c.text, answer(c.bytes));
    expect(c.code, "Init: ", answer(c.bytes));
  }
}

TEST_P(ClientTest, SilenceAfterHelloIsATimeoutAndAClosedDoorALostConnection) {
  expect(
      ErrorCode::kTimeout, "Init: ", [](RawPeer& peer) { peer.read(); }, 20ms);
  expect(
      ErrorCode::kTimeout, "Init: ",
      [](RawPeer& peer) {
        peer.read();
        peer.send(bytes_of("ARLK"));
      },
      20ms);
  expect(ErrorCode::kConnectionLost, "Init: ", [](RawPeer& peer) { peer.close(); });
  expect(ErrorCode::kConnectionLost, "Init: ", [](RawPeer& peer) {
    peer.read();
    peer.close();
  });
}

TEST_P(ClientTest, SilenceInACallIsATimeoutThatNamesIt) {
  expect_in_call(
      ErrorCode::kTimeout, "nothing arrived", [](RawPeer&) {}, 20ms);
  expect_in_call(
      ErrorCode::kTimeout, "fewer than 65536 bytes a second moved",
      [](RawPeer& peer) {
        const Bytes frame = testing::frame_bytes(FrameType::kReply, 1,
                                                 message_bytes(ReplyMessage{0, its_outputs()}),
                                                 reply_payload(its_outputs()));
        peer.send(std::span(frame).first(frame.size() / 2));
      },
      20ms);
}

TEST_P(ClientTest, AnEndInACallIsALostConnectionThatNamesIt) {
  expect_in_call(ErrorCode::kConnectionLost, "closed", [](RawPeer& peer) { peer.close(); });
  const Bytes frame =
      testing::frame_bytes(FrameType::kReply, 1, message_bytes(ReplyMessage{0, its_outputs()}),
                           reply_payload(its_outputs()));
  for (const std::size_t cut :
       {std::size_t{1}, std::size_t{31}, std::size_t{40}, frame.size() - 1}) {
    expect_in_call(ErrorCode::kConnectionLost, "closed", [&](RawPeer& peer) {
      peer.send(std::span(frame).first(cut));
      peer.close();
    });
  }
}

TEST_P(ClientTest, RefusesAReplyThatIsNotTheCallsOwn) {
  const auto sends = [](const TensorSpecs& specs) {
    return [specs](RawPeer& peer) { reply(peer, 1, specs); };
  };
  const TensorSpecs good = its_outputs();
  const TensorSpec one = good[0];
  const char* other = "tensors of other shapes or dtypes";
  expect_in_call(ErrorCode::kProtocol, other, sends({}));
  expect_in_call(ErrorCode::kProtocol, other, sends({one}));
  expect_in_call(ErrorCode::kProtocol, other, sends({one, one, one}));
  expect_in_call(ErrorCode::kProtocol, other, sends({one, {DType::kBF16, one.shape}}));
  expect_in_call(ErrorCode::kProtocol, other, sends({one, {DType::kI8, one.shape}}));
  expect_in_call(ErrorCode::kProtocol, other, sends({one, {DType::kF32, {14, 3}}}));
  expect_in_call(ErrorCode::kProtocol, other, sends({one, {DType::kF32, {3, 13}}}));
  expect_in_call(ErrorCode::kProtocol, other, sends({one, {DType::kF32, {42}}}));
  expect_in_call(ErrorCode::kProtocol, other, sends({one, {DType::kF32, {1, 3, 14}}}));
  expect_in_call(ErrorCode::kProtocol, "answered request 2, expected 1",
                 [&](RawPeer& peer) { reply(peer, 2, good); });
  expect_in_call(ErrorCode::kProtocol, "answered request 0, expected 1",
                 [&](RawPeer& peer) { reply(peer, 0, good); });
  for (const FrameType type : {FrameType::kHello, FrameType::kWelcome, FrameType::kCall,
                               FrameType::kStatsRequest, FrameType::kStats}) {
    expect_in_call(ErrorCode::kProtocol, "expected 4", [&](RawPeer& peer) {
      peer.send(type, 1, message_bytes(ReplyMessage{0, good}), reply_payload(good));
    });
  }
}

TEST_P(ClientTest, RefusesAPayloadOfAnotherLengthThanItsMessageSays) {
  const TensorSpecs good = its_outputs();
  const Bytes message = message_bytes(ReplyMessage{0, good});
  const Bytes payload = reply_payload(good);
  for (const std::uint64_t length :
       {std::uint64_t{0}, payload.size() - 1, payload.size() + 1, std::uint64_t{1} << 60,
        std::uint64_t{std::numeric_limits<std::int64_t>::max()}}) {
    expect_in_call(ErrorCode::kProtocol, "bytes of tensors", [&](RawPeer& peer) {
      peer.send(testing::frame_bytes(
          FrameHeader{FrameType::kReply, 1, static_cast<std::uint32_t>(message.size()), length},
          message, payload));
    });
  }
  expect_in_call(ErrorCode::kProtocol, "at most", [&](RawPeer& peer) {
    peer.send(testing::frame_bytes(
        FrameHeader{FrameType::kReply, 1, 8, std::numeric_limits<std::uint64_t>::max()}, Bytes(8)));
  });
}

TEST_P(ClientTest, RefusesADuplicateReplyAtTheNextCall) {
  expect(
      ErrorCode::kProtocol, "answered request 1, expected 2",
      [](RawPeer& peer) {
        open(peer);
        const std::uint64_t id = peer.read()->header.request_id;
        reply(peer, id, its_outputs());
        reply(peer, id, its_outputs());
      },
      30s, 2);
  EXPECT_EQ(ledger.entries().size(), 1U);
}

TEST_P(ClientTest, AFailureIsToldWithItsCodeAndTheSessionGoesOn) {
  const auto error = run(
      [](RawPeer& peer) {
        open(peer);
        for (const ErrorCode code : {ErrorCode::kSessionLost, ErrorCode::kInvalidArgument}) {
          const std::uint64_t id = peer.read()->header.request_id;
          peer.send(FrameType::kFailure, id, message_bytes(FailureMessage{code, "no"}));
        }
        reply(peer, peer.read()->header.request_id, its_outputs());
      },
      30s, 3);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::kUnsupported);  // flags are the runner's own
  EXPECT_EQ(failures,
            (std::vector<std::string>(2, "BatchLinear(gate,up) of layer 1: the worker says: no")));
  EXPECT_EQ(ledger.entries().size(), 1U);
}

TEST_P(ClientTest, AnAbsurdFailureIsStillOneClearError) {
  const auto sends = [](Bytes message, Bytes payload = {}) {
    return [=](RawPeer& peer) { peer.send(FrameType::kFailure, 1, message, payload); };
  };
  expect_in_call(ErrorCode::kInternal, "the worker says: x",
                 sends(message_bytes(FailureMessage{static_cast<ErrorCode>(99), "x"})));
  // A runner must not end as if the user had pressed Ctrl-C because a worker says so.
  expect_in_call(ErrorCode::kConnectionLost, "the worker says: x",
                 sends(message_bytes(FailureMessage{ErrorCode::kInterrupted, "x"})));
  // Nor as if a check of its own had failed.
  expect_in_call(ErrorCode::kInternal, "the worker says: x",
                 sends(message_bytes(FailureMessage{ErrorCode::kCheckFailed, "x"})));
  expect_in_call(ErrorCode::kInternal, "the worker says:  [31m?",
                 sends(message_bytes(FailureMessage{{}, "\x1b[31m\xff\xfe"})));
  expect_in_call(ErrorCode::kInternal, std::string(2000, 'y'),
                 sends(message_bytes(FailureMessage{{}, std::string(1 << 20, 'y')})));
  expect_in_call(ErrorCode::kProtocol, "Failure message of 5 bytes is malformed", sends(Bytes(5)));
  expect_in_call(ErrorCode::kProtocol, "128 bytes of tensors where none belong",
                 sends(message_bytes(FailureMessage{}), Bytes(128)));
}

TEST_P(ClientTest, AnAbsurdWorkerTimeLeavesTheStagesAddingUp) {
  for (const std::uint64_t ns :
       {std::uint64_t{0}, std::uint64_t{1} << 62, std::numeric_limits<std::uint64_t>::max()}) {
    ledger.clear();
    EXPECT_FALSE(run(
        [&](RawPeer& peer) {
          open(peer);
          reply(peer, peer.read()->header.request_id, its_outputs(DType::kBF16), ns);
        },
        30s, 1, DType::kBF16));
    ASSERT_EQ(ledger.entries().size(), 1U);
    const LedgerEntry& e = ledger.entries()[0];
    for (const double stage : {e.encode_ms, e.send_ms, e.worker_ms, e.receive_ms, e.decode_ms}) {
      EXPECT_GE(stage, 0);
    }
    // Five additions of numbers no larger than the total.
    EXPECT_NEAR(e.encode_ms + e.send_ms + e.worker_ms + e.receive_ms + e.decode_ms, e.total_ms,
                8 * std::numeric_limits<double>::epsilon() * e.total_ms);
  }
}

TEST_P(ClientTest, GivesUpAWorkerThatDripsItsReply) {
  const auto drip = [](RawPeer& peer, const Bytes& bytes) {
    for (const std::byte& byte : bytes) {
      peer.send({&byte, 1});
      std::this_thread::sleep_for(5ms);
    }
  };
  expect_in_call(
      ErrorCode::kTimeout, "fewer than 65536 bytes a second moved",
      [&](RawPeer& peer) {
        const ReplyMessage reply{0, infer_outputs(small_config(), the_call()), {}};
        drip(peer, testing::frame_bytes(FrameType::kReply, 1, testing::message_bytes(reply),
                                        Bytes(1000)));
      },
      100ms);
  expect(
      ErrorCode::kTimeout, "fewer than 65536 bytes a second moved",
      [&](RawPeer& peer) {
        peer.read();
        drip(peer, testing::frame_bytes(FrameType::kWelcome, 0, testing::message_bytes(kWelcome)));
      },
      100ms);
}

}  // namespace
}  // namespace airlock::client_test
