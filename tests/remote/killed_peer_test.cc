// Peers that are killed in the middle of a call, in processes of their own: the survivor is told,
// and nothing of the session is left in it.
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/link/pair.h"
#include "airlock/remote/client.h"
#include "airlock/worker/conversation.h"

#include "tests/support/call_memory.h"
#include "tests/support/fake_backend.h"
#include "tests/support/leftovers.h"
#include "tests/support/raw_peer.h"

namespace airlock::killed_peer_test {
namespace {

using testing::CallMemory;
using testing::small_fingerprint;

ModelConfig long_config() {
  ModelConfig config = testing::small_config();
  config.max_position = 1 << 20;
  return config;
}

/// x [300, 10] -> two of [300, 14]: large enough to be shared.
Call the_call() {
  return testing::legal_calls(long_config(), 300, DType::kF32)[3].call;
}

/// A process that runs `body` on its end of a link and tells, byte by byte, when it got somewhere.
class Child {
 public:
  Child(Transport transport, const std::function<void(std::unique_ptr<Link>, int)>& body) {
    std::array<int, 2> told{};
    EXPECT_EQ(::pipe(told.data()), 0);
    LinkPair pair = make_pair(transport);
    pid_ = ::fork();  // no other thread exists here
    if (pid_ == 0) {
      try {
        body(adopt_fd(pair.peer_fd.release(), transport == Transport::kShm), told[1]);
      } catch (...) {  // whatever it was, the test sees that the child ended by itself
      }
      ::_exit(3);
    }
    link = std::move(pair.ours);
    told_ = Fd(told[0]);
    ::close(told[1]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { kill(); }

  static void tell(int pipe) { EXPECT_EQ(::write(pipe, "x", 1), 1); }
  /// Waits until the child tells that it got somewhere.
  void wait_until_told() const {
    char byte = 0;
    EXPECT_EQ(::read(told_.get(), &byte, 1), 1) << "the child ended by itself";
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    pid_ = -1;
  }

  std::unique_ptr<Link> link;

 private:
  pid_t pid_ = -1;
  Fd told_;
};

ClientOptions with_lanes(int lanes) {
  ClientOptions options;
  options.lanes = lanes;
  return options;
}

class KilledPeer : public ::testing::TestWithParam<std::tuple<Transport, int>> {
 protected:
  static Transport transport() { return std::get<0>(GetParam()); }
  static int lanes() { return std::get<1>(GetParam()); }

  /// Calls until one fails, which it must with kConnectionLost.
  static void expect_lost(RemoteClient& client) {
    std::vector<CallMemory> memory;
    for (int i = 0; i < client.lanes(); ++i) memory.emplace_back(long_config(), the_call(), 1);
    try {
      while (true) {
        for (CallMemory& each : memory) client.submit(the_call(), each.inputs, each.outputs);
        for (std::size_t i = 0; i < memory.size(); ++i) client.collect(client.oldest());
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kConnectionLost) << error.what();
    }
    client.abandon();
  }
};

INSTANTIATE_TEST_SUITE_P(Transports, KilledPeer,
                         ::testing::Combine(::testing::Values(Transport::kUnix, Transport::kShm,
                                                              Transport::kTcp),
                                            ::testing::Values(1, 4)),
                         [](const auto& test) {
                           return std::string(transport_name(std::get<0>(test.param))) + "_" +
                                  std::to_string(std::get<1>(test.param));
                         });

/// A worker that tells when it is in the middle of call number `call` and stays there.
void work_until(int call, std::unique_ptr<Link> link, int pipe) {
  testing::FakeBackend backend;
  backend.model = long_config();
  int count = 0;
  backend.during = [&](const Call&) {
    if (++count < call) return;
    Child::tell(pipe);
    while (true) ::pause();
  };
  ServerContext context{backend, small_fingerprint(), {}, {backend, {}}, {}};
  Conversation(context, std::move(link)).run();
}

TEST_P(KilledPeer, AWorkerInTheMiddleOfACallIsALostConnection) {
  const auto before = testing::holdings();
  for (const int call : {1, 6}) {
    Child worker(transport(), [&](std::unique_ptr<Link> link, int pipe) {
      work_until(call, std::move(link), pipe);
    });
    RemoteClient client(std::move(worker.link), long_config(), small_fingerprint(),
                        with_lanes(lanes()), nullptr);
    std::thread killer([&] {
      worker.wait_until_told();
      worker.kill();
    });
    expect_lost(client);
    killer.join();
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

TEST_P(KilledPeer, AWorkerThatStoppedReadingIsALostConnection) {
  const auto before = testing::holdings();
  {
    Child worker(transport(), [&](std::unique_ptr<Link> link, int pipe) {
      testing::RawPeer peer(std::move(link));
      peer.read();
      peer.send(FrameType::kWelcome, 0,
                testing::message_bytes(
                    WelcomeMessage{small_fingerprint(), DType::kF32, "", "", lanes(), 0}));
      Child::tell(pipe);
      while (true) ::pause();
    });
    RemoteClient client(std::move(worker.link), long_config(), small_fingerprint(),
                        with_lanes(lanes()), nullptr);
    Call large = testing::legal_calls(long_config(), 1 << 19, DType::kF32)[10].call;
    CallMemory memory(long_config(), large, 1);  // 20 MiB there: the link is full before
    std::thread killer([&] {
      worker.wait_until_told();
      worker.kill();
    });
    try {
      client.execute(large, memory.inputs, memory.outputs);
      ADD_FAILURE() << "a call succeeded without a worker";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kConnectionLost) << error.what();
    }
    killer.join();
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

TEST_P(KilledPeer, ARunnerInTheMiddleOfACallLeavesNothingInTheWorker) {
  const auto before = testing::holdings();
  for (const int call : {1, 6}) {
    Child runner(transport(), [&](std::unique_ptr<Link> link, int) {
      RemoteClient client(std::move(link), long_config(), small_fingerprint(), with_lanes(lanes()),
                          nullptr);
      std::vector<CallMemory> memory;
      for (int i = 0; i < lanes(); ++i) memory.emplace_back(long_config(), the_call(), 1);
      while (true) {
        for (CallMemory& each : memory) client.submit(the_call(), each.inputs, each.outputs);
        for (std::size_t i = 0; i < memory.size(); ++i) client.collect(client.oldest());
      }
    });
    testing::FakeBackend backend;
    backend.model = long_config();
    std::atomic<int> count{0};
    std::size_t mapped = 0;
    backend.during = [&](const Call&) {
      if (++count != call) return;
      mapped = testing::holdings().mappings;
      runner.kill();
    };
    ServerContext context{backend, small_fingerprint(), {}, {backend, {}}, {}};
    Conversation conversation(context, std::move(runner.link));
    conversation.run();
    EXPECT_GE(count, call);
    EXPECT_EQ(mapped > before.mappings, transport() == Transport::kShm);
    EXPECT_EQ(testing::holdings().mappings, before.mappings);
    EXPECT_EQ(context.sessions.size(), 0);
    EXPECT_EQ(context.pool.bytes_in_use(), 0U);
  }
  EXPECT_EQ(testing::FakeSequence::alive(), 0);
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

TEST_P(KilledPeer, ARunnerThatShouldReadItsReplyLeavesNothingInTheWorker) {
  const auto before = testing::holdings();
  {
    Child runner(transport(), [&](std::unique_ptr<Link> link, int pipe) {
      testing::RawPeer peer(std::move(link));
      peer.send(FrameType::kHello, 0,
                testing::message_bytes(HelloMessage{small_fingerprint(), "raw", lanes()}));
      peer.read();
      Call call;
      call.op = Op::kEmbedding;
      call.inputs = {{DType::kI64, {200000}}};  // 8 MB back: more than a link holds
      peer.send(FrameType::kCall, 1, testing::message_bytes(call), testing::Bytes(1600000));
      Child::tell(pipe);
      while (true) ::pause();
    });
    testing::FakeBackend backend;
    backend.model = long_config();
    ServerContext context{backend, small_fingerprint(), {}, {backend, {}}, {}};
    Conversation conversation(context, std::move(runner.link));
    std::thread killer([&] {
      runner.wait_until_told();
      while (backend.calls == 0) std::this_thread::yield();
      runner.kill();
    });
    conversation.run();
    killer.join();
    EXPECT_EQ(context.pool.bytes_in_use(), 0U);
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

}  // namespace
}  // namespace airlock::killed_peer_test
