// The program of a build without a worker (AIRLOCK_WORKER=OFF).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"

namespace airlock::runner_only_test {
namespace {
using ::testing::HasSubstr;
using ::testing::Not;

using RunnerOnly = testing::CliFixture;

TEST_F(RunnerOnly, HasNoWorkerSubcommand) {
  auto help = start({"--help"});
  EXPECT_EQ(help->wait(), 0);
  EXPECT_THAT(help->out(), HasSubstr("\n  plan"));
  EXPECT_THAT(help->out(), Not(HasSubstr("\n  worker")));
  EXPECT_EQ(start({"worker", "-m", model(), "--listen", "unix:///nowhere/a.sock"})->wait(), 2);
}

TEST_F(RunnerOnly, PlansInspectsAndSynthesizes) {
  EXPECT_EQ(start({"plan", "-m", "llama-3.2-1b", "--plan", "all"})->wait(), 0);
  EXPECT_EQ(start({"inspect", model()})->wait(), 0);
  EXPECT_EQ(start({"synth", "tiny", (dir() / "other").string()})->wait(), 0);
}

TEST_F(RunnerOnly, CommandsThatWouldStartAWorkerSayThatThereIsNone) {
  const std::vector<std::vector<std::string>> commands = {
      {"run", "-m", model(), "-p", "Hello"},
      {"run", "-m", model(), "-p", "Hello", "--link", "inproc"},
      {"bench", "-m", model(), "--tokens", "4"},
      {"perplexity", "-m", model(), "--text", "/dev/null"}};
  for (const auto& arguments : commands) {
    auto run = start(arguments);
    EXPECT_EQ(run->wait(), 2) << arguments[0];
    EXPECT_THAT(run->err(), HasSubstr("this build has no worker")) << arguments[0];
    EXPECT_EQ(run->out(), "");
  }
  auto run = start(commands[0]);
  run->wait();
  EXPECT_THAT(run->err(), HasSubstr("--worker URI"));
}

TEST_F(RunnerOnly, ReachesForAWorkerThatIsNamed) {
  auto run = start({"run", "-m", model(), "-p", "Hello", "--worker",
                    "unix://" + (dir() / "nobody.sock").string()});
  EXPECT_EQ(run->wait(), 1);
  EXPECT_THAT(run->err(), HasSubstr("nobody.sock"));
}

}  // namespace
}  // namespace airlock::runner_only_test
