#include "airlock/remote/link_probe.h"

#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "airlock/remote/client.h"
#include "airlock/worker/server.h"

#include "tests/support/link_pair.h"
#include "tests/support/raw_peer.h"
#include "tests/support/runner.h"

namespace airlock::link_probe_test {
namespace {

using testing::Bytes;
using testing::message_bytes;
using testing::RawPeer;
using testing::small_config;
using testing::small_fingerprint;

class Probed : public ::testing::TestWithParam<Transport> {
 protected:
  LinkProfile profile(ClientOptions options, std::int64_t worker_shares = std::int64_t{1} << 30) {
    testing::FakeBackend backend;
    ServerOptions server_options;
    server_options.shared_bytes = worker_shares;
    Server server(backend, small_fingerprint(), server_options);
    auto ends = testing::make_ends(GetParam());
    std::thread thread(
        [&, end = std::move(ends.second)]() mutable { server.serve(std::move(end)); });
    std::optional<LinkProfile> found;
    {
      MemoryLedger ledger;
      options.probe = true;
      RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), options,
                          &ledger);
      found = client.profile();
      EXPECT_TRUE(ledger.entries().empty()) << "probes are not calls";
      testing::expect_all_answers(client, small_config(), 5, 1);
    }
    thread.join();
    return found.value();
  }
};

INSTANTIATE_TEST_SUITE_P(Links, Probed,
                         ::testing::Values(Transport::kInproc, Transport::kUnix, Transport::kShm,
                                           Transport::kTcp),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST_P(Probed, ALinkHasRatesARoundTripAndSharedMemoryWhereThereIsSome) {
  for (const int lanes : {1, 3}) {
    ClientOptions options;
    options.lanes = lanes;
    const LinkProfile found = profile(options);
    EXPECT_GT(found.rtt_ms, 0);
    EXPECT_GT(found.send_rate, 0);
    EXPECT_GT(found.receive_rate, 0);
    const bool shares = GetParam() == Transport::kShm;
    EXPECT_EQ(found.shared_rate > 0, shares);
    if (shares) {
      EXPECT_LE(found.shared_from, 256 << 10) << "large tensors never go through the socket";
    } else {
      EXPECT_EQ(found.shared_from, LinkProfile::kNever);
    }
  }
}

TEST_P(Probed, ABudgetTooSmallToMeasureMeansNoSharedMemory) {
  const LinkProfile found = profile({}, 1 << 20);
  EXPECT_EQ(found.shared_rate, 0);
  EXPECT_EQ(found.shared_from, LinkProfile::kNever);
}

/// How a server answers a Probe with `payload` behind it: the frame, and that the session goes on.
testing::RawFrame answer_to(const ProbeMessage& probe, const Bytes& payload) {
  testing::FakeBackend backend;
  Server server(backend, small_fingerprint(), {});
  auto ends = testing::make_ends(Transport::kUnix);
  std::thread thread([&, end = std::move(ends.second)]() mutable { server.serve(std::move(end)); });
  std::optional<testing::RawFrame> answer;
  {
    RawPeer peer(std::move(ends.first));
    peer.hello(small_fingerprint());
    peer.read();
    peer.send(FrameType::kProbe, 7, message_bytes(probe), payload);
    answer = peer.read();
  }
  thread.join();
  return answer.value();
}

TEST(ProbeRequest, GetsTheBytesThatItAskedFor) {
  const auto answer = answer_to({8, 4000, {}, {}}, Bytes(8));
  EXPECT_EQ(answer.header.type, FrameType::kProbed);
  EXPECT_EQ(answer.header.request_id, 7U);
  EXPECT_EQ(answer.header.message_bytes, 0U);
  EXPECT_EQ(answer.payload.size(), 4000U);
}

TEST(ProbeRequest, WithOtherBytesThanItSaysOrPlacesThatAreNotThereIsRefused) {
  for (const auto& [probe, payload, text] :
       {std::tuple{ProbeMessage{8, 0, {}, {}}, 64, "take 8 bytes, the frame carries 64"},
        std::tuple{ProbeMessage{8, 0, {1, 0}, {}}, 0, "segment 1"},
        std::tuple{ProbeMessage{0, 8, {}, {9, 64}}, 0, "segment 9"}}) {
    const auto answer = answer_to(probe, Bytes(static_cast<std::size_t>(payload)));
    ASSERT_EQ(answer.header.type, FrameType::kFailure);
    const FailureMessage failure = parse_failure(answer.message);
    EXPECT_EQ(failure.code, ErrorCode::kProtocol);
    EXPECT_NE(failure.text.find(text), std::string::npos) << failure.text;
  }
}

TEST(ProbeRequest, OfMoreThanItsLimitDoesNotParse) {
  for (const std::int64_t bytes : {ProbeMessage::kMaxBytes + 4, std::int64_t{6}}) {
    const Bytes message = message_bytes(ProbeMessage{bytes, 0, {}, {}});
    EXPECT_THROW(parse_probe(message), Error);
  }
}

TEST(ProbeAnswer, ThatIsNoneEndsTheSession) {
  for (int lie = 0; lie < 3; ++lie) {
    auto ends = testing::make_ends(Transport::kUnix);
    std::thread worker([lie, end = std::move(ends.second)]() mutable {
      RawPeer peer(std::move(end));
      try {
        peer.read();
        peer.send(FrameType::kWelcome, 0,
                  message_bytes(WelcomeMessage{small_fingerprint(), DType::kF32, "raw", "raw"}));
        const auto id = peer.read()->header.request_id;
        const Bytes message = lie == 1 ? message_bytes(WorkerStats{}) : Bytes{};
        peer.send(lie == 0 ? FrameType::kReply : FrameType::kProbed, id, message,
                  lie == 2 ? Bytes(64) : Bytes{});
        while (peer.read()) {
        }
      } catch (const Error&) {  // the client gave up
      }
    });
    ClientOptions options;
    options.probe = true;
    try {
      const RemoteClient client(std::move(ends.first), small_config(), small_fingerprint(), options,
                                nullptr);
      ADD_FAILURE() << "lie " << lie;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kProtocol) << error.what();
    }
    worker.join();
  }
}

}  // namespace
}  // namespace airlock::link_probe_test
