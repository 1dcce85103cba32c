// What a worker's process holds while runners ask for all they may, and when they have gone.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "airlock/link/connect.h"
#include "airlock/model/fingerprint.h"

#include "tests/cli/cli_fixture.h"
#include "tests/support/raw_peer.h"

namespace airlock::worker_memory_test {
namespace {

using testing::RawPeer;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

/// A line of /proc/PID/status in bytes, e.g. "VmRSS:".
std::int64_t status_bytes(pid_t pid, const std::string& key) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::int64_t kib = 0;
  for (std::string word; status >> word;) {
    if (word == key && status >> kib) break;
  }
  return kib * 1024;
}

class CliWorkerMemory : public testing::CliFixture {
 protected:
  [[nodiscard]] std::string uri() const { return "unix://" + (dir() / "w.sock").string(); }

  std::unique_ptr<testing::Process> start_worker(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"worker", "-m", model(), "--listen", uri()});
    auto worker = start(flags);
    EXPECT_TRUE(worker->says("listening on")) << worker->err();
    return worker;
  }
  std::unique_ptr<testing::Process> run(const std::string& plan) {
    return start({"run", "-m", model(), "-p", "Hello", "-n", "4", "--plan", plan, "--hint-cache",
                  "none", "--worker", uri(), "--timeout", "60"});
  }
  void expect_service() {
    const auto runner = run("combined");
    EXPECT_EQ(runner->wait(), 0) << runner->err();
  }
  /// A runner that is welcome and says what a test wants.
  std::unique_ptr<RawPeer> open() {
    auto peer = std::make_unique<RawPeer>(connect(parse_uri(uri()), {}));
    peer->hello(compute_fingerprint(*Checkpoint::open(model())));
    const auto welcome = peer->read();
    EXPECT_TRUE(welcome && welcome->header.type == FrameType::kWelcome);
    return peer;
  }
  static void ask(RawPeer& peer, std::int64_t reply_bytes) {
    ProbeMessage probe;
    probe.reply_bytes = reply_bytes / 4 * 4;
    peer.send(FrameType::kProbe, 1, testing::message_bytes(probe));
  }
};

TEST_F(CliWorkerMemory, IsBoundedInAnAttackAndBackAtItsStartAfterIt) {
  constexpr std::int64_t kMost = ProbeMessage::kMaxBytes;
  const auto worker = start_worker({"--max-payload", "0.03125", "--memory", "0.125"});
  expect_service();
  expect_service();
  const auto resident = [&] { return status_bytes(worker->pid(), "VmRSS:"); };
  const std::int64_t start = resident();
  {
    // Every size of block there is, from few bytes sent.
    const auto greedy = open();
    for (std::int64_t bytes = kMost; bytes >= 64; bytes = bytes * 15 / 16) {
      ask(*greedy, bytes);
      ASSERT_EQ(greedy->read()->header.type, FrameType::kProbed);
    }
    // Runners that never read: each reply waits in the worker's memory.
    std::vector<std::unique_ptr<RawPeer>> silent;
    for (int i = 0; i < 12; ++i) {
      silent.push_back(open());
      ask(*silent.back(), kMost);
    }
    // What is left of the budget serves others, or they are told.
    ask(*greedy, 64);
    EXPECT_TRUE(greedy->read());
  }
  EXPECT_LE(status_bytes(worker->pid(), "VmHWM:"), start + 128 * kMiB + start / 2);
  EXPECT_TRUE(testing::eventually([&] { return resident() <= start + start / 10; }))
      << resident() / kMiB << " MiB, " << start / kMiB << " at the start";
  expect_service();
}

TEST_F(CliWorkerMemory, WhatPassesTheBudgetIsRefusedByNameAndTheSessionGoesOn) {
  const auto worker = start_worker({"--memory", "0.005"});
  const auto peer = open();
  ask(*peer, 16 * kMiB);
  const FailureMessage failure = peer->read_failure();
  EXPECT_EQ(failure.code, ErrorCode::kResourceExhausted);
  EXPECT_NE(failure.text.find("--memory"), std::string::npos) << failure.text;
  ask(*peer, 4096);
  EXPECT_EQ(peer->read()->header.type, FrameType::kProbed);
}

TEST_F(CliWorkerMemory, ALittleAddressSpaceIsEnoughOrRefusedByName) {
  for (const std::int64_t headroom : {64, 48, 36, 32, 28, 24, 20, 17, 9, 8, 4}) {
    // A fresh one: what it has compiled and which threads it has made would help it.
    const auto worker = start_worker({});
    const pid_t pid = worker->pid();
    const rlim_t most = static_cast<rlim_t>(status_bytes(pid, "VmSize:") + headroom * kMiB);
    const rlimit limited{most, RLIM_INFINITY};
    ASSERT_EQ(::prlimit(pid, RLIMIT_AS, &limited, nullptr), 0);
    const auto runner = run("baseline");
    if (runner->wait() != 0) {
      EXPECT_EQ(runner->wait(), 1) << runner->err();
      EXPECT_NE(runner->err().find("no memory"), std::string::npos)
          << headroom << " MiB: " << runner->err();
    }
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(::prlimit(pid, RLIMIT_AS, &unlimited, nullptr), 0);
    expect_service();
    worker->signal(SIGTERM);
    worker->wait();
  }
}

}  // namespace
}  // namespace airlock::worker_memory_test
