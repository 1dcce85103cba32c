// A worker with an address of its own: several runners, strangers, and a clean end.
#include <array>
#include <atomic>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "airlock/link/connect.h"
#include "airlock/model/checkpoint.h"
#include "airlock/model/fingerprint.h"

#include "tests/cli/cli_fixture.h"
#include "tests/support/raw_peer.h"

namespace airlock::worker_test {
namespace {

class CliWorker : public testing::CliFixture {
 protected:
  [[nodiscard]] std::string socket() const { return (dir() / "w.sock").string(); }
  [[nodiscard]] std::string uri() const { return "unix://" + socket(); }

  std::unique_ptr<testing::Process> start_worker(const std::string& at, const std::string& folder) {
    auto worker = start({"worker", "-m", folder, "--listen", at, "--stall-timeout", "2"});
    EXPECT_TRUE(worker->says("listening on")) << worker->err();
    return worker;
  }

  std::unique_ptr<testing::Process> run(const std::string& at) {
    return start({"run", "-m", model(), "-p", "Hello", "-n", "8", "--plan", "combined", "--worker",
                  at, "--timeout", "20"});
  }
};

TEST_F(CliWorker, ServesRunnersOneAfterAnotherAndAtTheSameTime) {
  auto worker = start_worker(uri(), model());
  auto alone = run(uri());
  EXPECT_EQ(alone->wait(), 0) << alone->err();
  std::vector<std::unique_ptr<testing::Process>> together;
  for (int i = 0; i < 4; ++i) together.push_back(run(uri()));
  for (const auto& runner : together) {
    EXPECT_EQ(runner->wait(), 0) << runner->err();
    EXPECT_EQ(runner->out(), alone->out());
  }
}

TEST_F(CliWorker, EndsInGoodOrderOnASignalAndRemovesItsSocket) {
  struct sigaction inherited {};
  ::sigaction(SIGHUP, nullptr, &inherited);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    if (signal == SIGHUP && inherited.sa_handler == SIG_IGN) continue;  // under nohup
    auto worker = start_worker(uri(), model());
    EXPECT_TRUE(std::filesystem::exists(socket()));
    worker->signal(signal);
    EXPECT_EQ(worker->wait(), 128 + signal) << worker->err();
    EXPECT_NE(worker->err().find("worker: ended\n"), std::string::npos) << worker->err();
    EXPECT_FALSE(std::filesystem::exists(socket()));
  }
}

TEST_F(CliWorker, ASignalInACallOfTheSystemIsTheSignalsEnd) {
  const std::string fifo = (dir() / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  auto report = start({"report", fifo});
  const auto catches_signals = [&] {
    const std::string status =
        testing::file_text("/proc/" + std::to_string(report->pid()) + "/status");
    const std::size_t at = status.find("SigCgt:");
    if (at == std::string::npos) return false;
    return (std::stoull(status.substr(at + 7), nullptr, 16) >> (SIGTERM - 1) & 1) != 0;
  };
  while (!catches_signals()) std::this_thread::yield();
  std::atomic<bool> ended{false};
  std::thread signals([&] {  // one alone may come before the program waits in open()
    while (!ended) {
      report->signal(SIGTERM);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  EXPECT_EQ(report->wait(), 128 + SIGTERM) << report->err();
  ended = true;
  signals.join();
}

TEST_F(CliWorker, ReplacesTheSocketOfOneThatWasKilledAndRefusesOneThatLives) {
  auto killed = start_worker(uri(), model());
  killed->signal(SIGKILL);
  killed->wait();
  EXPECT_TRUE(std::filesystem::exists(socket()));
  auto worker = start_worker(uri(), model());
  auto second = start({"worker", "-m", model(), "--listen", uri()});
  EXPECT_EQ(second->wait(), 1);
  EXPECT_NE(second->err().find(socket()), std::string::npos) << second->err();
  auto runner = run(uri());
  EXPECT_EQ(runner->wait(), 0) << runner->err();
}

TEST_F(CliWorker, RefusesAPortThatIsTaken) {
  const auto listener = listen(parse_uri("tcp://127.0.0.1:0"));
  const std::string taken = listener->local_uri().to_string();
  auto worker = start({"worker", "-m", model(), "--listen", taken});
  EXPECT_EQ(worker->wait(), 1);
  EXPECT_NE(worker->err().find(taken), std::string::npos) << worker->err();
}

TEST_F(CliWorker, WithAnotherModelIsRefused) {
  synth("other", 1);
  auto worker = start_worker(uri(), (dir() / "other").string());
  auto runner = run(uri());
  EXPECT_EQ(runner->wait(), 1);
  EXPECT_NE(runner->err().find("another model"), std::string::npos) << runner->err();
}

TEST_F(CliWorker, SurvivesStrangersAndServesTheNextRunner) {
  auto worker = start_worker(uri(), model());
  const std::array<std::string, 3> words = {"GET / HTTP/1.1\r\n\r\n" + std::string(64, 'x'),
                                            std::string(100, '\xff'), "ARLK"};
  for (const std::string& text : words) {
    const auto link = connect(parse_uri(uri()), {.connect_timeout = std::chrono::seconds(5)});
    link->send(std::as_bytes(std::span(text)));
  }
  auto runner = run(uri());
  EXPECT_EQ(runner->wait(), 0) << runner->err();
  worker->signal(SIGTERM);
  EXPECT_EQ(worker->wait(), 143) << worker->err();
}

TEST_F(CliWorker, WithoutDescriptorsServesAgainOnceSomeAreFree) {
  auto worker = start({"worker", "-m", model(), "--listen", uri(), "--max-sessions", "64"});
  ASSERT_TRUE(worker->says("listening on")) << worker->err();
  const rlimit few{40, 40};
  ASSERT_EQ(::prlimit(worker->pid(), RLIMIT_NOFILE, &few, nullptr), 0);
  {
    std::vector<std::unique_ptr<Link>> links;
    const FingerprintBytes fingerprint = compute_fingerprint(*Checkpoint::open(model()));
    for (int i = 0; i < 80; ++i) {
      links.push_back(connect(parse_uri(uri()), {.connect_timeout = std::chrono::seconds(5)}));
      links.back()->send(testing::frame_bytes(
          FrameType::kHello, 0, testing::message_bytes(HelloMessage{fingerprint, "x"})));
    }
    EXPECT_TRUE(worker->says("cannot take a connection now")) << worker->err();
  }
  auto runner = run(uri());
  EXPECT_EQ(runner->wait(), 0) << runner->err() << worker->err();
}

TEST_F(CliWorker, TakesNoMoreSessionsThanItsDescriptorsAllow) {
  const std::string command =
      fmt::format("ulimit -n 64; exec '{}' worker -m '{}' --listen '{}' --max-sessions 64",
                  testing::airlock_program(), model(), uri());
  const std::string log = (dir() / "limited.err").string();
  const pid_t worker = ::fork();
  if (worker == 0) {
    const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT, 0600);
    ::dup2(fd, 2);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  EXPECT_TRUE(testing::eventually([&] {
    return testing::file_text(log).find("listening on") != std::string::npos;
  })) << testing::file_text(log);
  EXPECT_NE(testing::file_text(log).find("a limit of 64 descriptors leaves room for"),
            std::string::npos)
      << testing::file_text(log);
  auto runner = run(uri());
  EXPECT_EQ(runner->wait(), 0) << runner->err();
  ::kill(worker, SIGTERM);
  int status = 0;
  ::waitpid(worker, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
}

TEST_F(CliWorker, ThatIsNoAirlockIsNamedAsSuch) {
  const auto listener = listen(parse_uri("tcp://127.0.0.1:0"));
  std::thread stranger([&] {
    const auto link = listener->accept();
    const std::string text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    link->send(std::as_bytes(std::span(text)));
    (void)link->wait_readable(std::nullopt);
  });
  auto runner = run(listener->local_uri().to_string());
  EXPECT_EQ(runner->wait(), 1);
  EXPECT_NE(runner->err().find("does not speak the Airlock protocol"), std::string::npos)
      << runner->err();
  stranger.join();
}

TEST_F(CliWorker, ThatStaysSilentIsGivenUp) {
  const auto listener = listen(parse_uri("tcp://127.0.0.1:0"));
  std::unique_ptr<Link> silent;
  std::thread stranger([&] { silent = listener->accept(); });
  auto runner = start({"run", "-m", model(), "-p", "Hello", "--worker",
                       listener->local_uri().to_string(), "--timeout", "0.2"});
  EXPECT_EQ(runner->wait(), 1);
  EXPECT_NE(runner->err().find("Init"), std::string::npos) << runner->err();
  stranger.join();
}

// What a worker says of itself is its own failure, not a wrong flag (2), a check (3) or a signal.
TEST_F(CliWorker, ThatNamesAFailureMakesTheRunFailWithOne) {
  for (const ErrorCode code : {ErrorCode::kInvalidArgument, ErrorCode::kCheckFailed,
                               ErrorCode::kInterrupted, ErrorCode::kTimeout}) {
    for (const std::uint64_t id : {0, 7}) {  // to its Hello, or to nothing it asked
      const auto listener = listen(parse_uri("tcp://127.0.0.1:0"));
      std::thread stranger([&] {
        testing::RawPeer peer(listener->accept());
        (void)peer.read();
        peer.send(FrameType::kFailure, id, testing::message_bytes(FailureMessage{code, "no"}));
        (void)peer.read();
      });
      auto runner = run(listener->local_uri().to_string());
      EXPECT_EQ(runner->wait(), 1) << error_code_name(code);
      EXPECT_NE(runner->err().find("the worker says: no"), std::string::npos) << runner->err();
      stranger.join();
    }
  }
}

TEST_F(CliWorker, WarnsBeforeOtherMachinesCanConnect) {
  constexpr const char* kWarning = "WARNING: other machines can connect";
  for (const std::string host : {"0.0.0.0", "[::]"}) {
    auto worker = start({"worker", "-m", model(), "--listen", "tcp://" + host + ":0"});
    ASSERT_TRUE(worker->says("listening on")) << worker->err();
    EXPECT_NE(worker->err().find(kWarning), std::string::npos) << worker->err();
  }
  for (const std::string host : {"127.0.0.1", "localhost", "[::1]"}) {
    auto worker = start({"worker", "-m", model(), "--listen", "tcp://" + host + ":0"});
    ASSERT_TRUE(worker->says("listening on")) << worker->err();
    EXPECT_EQ(worker->err().find(kWarning), std::string::npos) << worker->err();
  }
}

}  // namespace
}  // namespace airlock::worker_test
