// Whatever kills a worker or a runner in the middle of its work, nothing is left on the machine.
#include "tests/support/leftovers.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>
#include <string>
#include <tuple>

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/cli/cli_fixture.h"

namespace airlock::leftovers_test {
namespace {

enum class Victim { kWorker, kRunner, kBoth };

std::string name_of(Victim victim) {
  return victim == Victim::kWorker ? "Worker" : victim == Victim::kRunner ? "Runner" : "Both";
}

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  std::error_code ignored;  // a system without /dev/shm has nothing in it
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

class Leftovers : public testing::CliFixture,
                  public ::testing::WithParamInterface<std::tuple<Victim, int>> {
 protected:
  void SetUp() override {
    // Children whose parent dies become ours: none can be left without our seeing it.
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    testing::CliFixture::SetUp();
    std::filesystem::create_directory(dir() / "tmp");
    const char* temp = std::getenv("TMPDIR");
    if (temp != nullptr) temp_ = temp;
    ::setenv("TMPDIR", (dir() / "tmp").c_str(), 1);
    std::ofstream text(dir() / "text.txt");
    for (int i = 0; i < 15000; ++i) text << "abcdefghij klm nop ";
    shared_before_ = names_in("/dev/shm");
  }
  void TearDown() override {
    temp_.empty() ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", temp_.c_str(), 1);
    EXPECT_TRUE(testing::eventually([] {
      return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
    })) << "a process is left";
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    EXPECT_EQ(names_in("/dev/shm"), shared_before_);
    EXPECT_TRUE(names_in(dir() / "tmp").empty());
  }

  static Victim victim() { return std::get<0>(GetParam()); }
  static int how() { return std::get<1>(GetParam()); }

  /// Works for hours if it is let: windows of every token, in chunks with several calls under way.
  [[nodiscard]] std::unique_ptr<testing::Process> long_run(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"perplexity",
                                          "-m",
                                          model(),
                                          "--text",
                                          (dir() / "text.txt").string(),
                                          "--window",
                                          "256",
                                          "--stride",
                                          "1",
                                          "--plan",
                                          "baseline",
                                          "--chunk",
                                          "64",
                                          "--lanes",
                                          "4",
                                          "--timeout",
                                          "20",
                                          "--shm-threshold",
                                          "1KiB"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return start(arguments);
  }
  /// Waits until the worker has mapped what the runner shares: calls are under way.
  static void wait_for_calls(pid_t worker) {
    ASSERT_TRUE(
        testing::eventually([&] { return testing::shared_mappings(std::to_string(worker)) > 8; }));
  }
  static void expect_end(testing::Process& process, int clean_exit) {
    EXPECT_EQ(process.wait(), how() == SIGKILL ? -SIGKILL : clean_exit) << process.err();
  }

 private:
  std::string temp_;
  std::set<std::string> shared_before_;
};

INSTANTIATE_TEST_SUITE_P(Deaths, Leftovers,
                         ::testing::Combine(::testing::Values(Victim::kWorker, Victim::kRunner,
                                                              Victim::kBoth),
                                            ::testing::Values(SIGKILL, SIGTERM, SIGINT)),
                         [](const auto& test) {
                           const int signal = std::get<1>(test.param);
                           return name_of(std::get<0>(test.param)) + (signal == SIGKILL ? "Killed"
                                                                      : signal == SIGTERM
                                                                          ? "Terminated"
                                                                          : "Interrupted");
                         });

TEST_P(Leftovers, NothingOfAWorkerWithAnAddressAndItsRunner) {
  const std::string socket = (dir() / "w.sock").string();
  const std::string uri = "shm://" + socket;
  const auto start_worker = [&] {
    auto worker = start({"worker", "-m", model(), "--listen", uri});
    EXPECT_TRUE(worker->says("listening on")) << worker->err();
    return worker;
  };
  const auto serves = [&] {
    auto run = start({"run", "-m", model(), "-p", "Hello", "-n", "4", "--worker", uri});
    EXPECT_EQ(run->wait(), 0) << run->err();
    EXPECT_NE(run->err().find("prediction: equal"), std::string::npos) << run->err();
  };
  auto worker = start_worker();
  auto runner = long_run({"--worker", uri});
  wait_for_calls(worker->pid());
  if (victim() != Victim::kRunner) worker->signal(how());
  if (victim() != Victim::kWorker) runner->signal(how());

  if (victim() == Victim::kRunner) {
    expect_end(*runner, 128 + how());
    EXPECT_TRUE(testing::eventually([&] {
      return testing::shared_mappings(std::to_string(worker->pid())) == 0;
    })) << "the worker keeps memory of a runner that is gone";
    serves();
    worker->signal(SIGTERM);
    EXPECT_EQ(worker->wait(), 143) << worker->err();
    EXPECT_FALSE(std::filesystem::exists(socket));
    return;
  }
  expect_end(*worker, 128 + how());
  if (victim() == Victim::kWorker) {
    EXPECT_EQ(runner->wait(), 1) << runner->err();
    EXPECT_NE(runner->err().find(uri), std::string::npos) << runner->err();
  } else if (how() == SIGKILL) {
    EXPECT_EQ(runner->wait(), -SIGKILL);
  } else {
    // Which of the two it hears of first is chance.
    const int exit = runner->wait();
    EXPECT_TRUE(exit == 128 + how() || exit == 1) << exit << ": " << runner->err();
  }
  // After SIGKILL the file stays; whoever comes next may take the address.
  EXPECT_EQ(std::filesystem::exists(socket), how() == SIGKILL);
  auto next = start_worker();
  serves();
  next->signal(SIGTERM);
  EXPECT_EQ(next->wait(), 143) << next->err();
  EXPECT_FALSE(std::filesystem::exists(socket));
}

TEST_P(Leftovers, NothingOfARunnerAndAWorkerOfItsOwn) {
  auto runner = long_run({"--link", "shm"});
  const pid_t worker = runner->child();
  ASSERT_GT(worker, 0);
  wait_for_calls(worker);
  if (victim() != Victim::kRunner) ::kill(worker, how());
  if (victim() != Victim::kWorker) runner->signal(how());
  const int exit = runner->wait();
  if (victim() == Victim::kWorker) {
    EXPECT_EQ(exit, 1) << runner->err();
  } else if (how() == SIGKILL) {
    EXPECT_EQ(exit, -SIGKILL);
  } else {
    EXPECT_TRUE(exit == 128 + how() || (victim() == Victim::kBoth && exit == 1))
        << exit << ": " << runner->err();
  }
}

}  // namespace
}  // namespace airlock::leftovers_test
