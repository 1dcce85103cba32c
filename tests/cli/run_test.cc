// airlock as its users meet it: whole processes, their output, exit codes and what they leave.
#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"

namespace airlock::run_test {
namespace {

using Cli = testing::CliFixture;

TEST_F(Cli, RunStreamsTextAndItsTrafficEqualsThePrediction) {
  for (const std::string link : {"unix", "tcp", "inproc"}) {
    auto run =
        start({"run", "-m", model(), "-p", "Hello", "-n", "5", "--link", link, "--ignore-eos"});
    EXPECT_EQ(run->wait(), 0) << run->err();
    EXPECT_FALSE(run->out().empty());
    EXPECT_NE(run->err().find("prediction: equal"), std::string::npos) << run->err();
  }
}

TEST_F(Cli, TheSameSeedGivesTheSameText) {
  const std::vector<std::string> arguments = {"run",
                                              "-q",
                                              "-m",
                                              model(),
                                              "-p",
                                              "Hi",
                                              "-n",
                                              "12",
                                              "--temp",
                                              "1",
                                              "--top-k",
                                              "40",
                                              "--top-p",
                                              "0.9",
                                              "--seed",
                                              "7",
                                              "--compute-dtype",
                                              "f32"};
  auto first = start(arguments);
  ASSERT_EQ(first->wait(), 0) << first->err();
  auto second = start(arguments);
  ASSERT_EQ(second->wait(), 0) << second->err();
  EXPECT_EQ(first->out(), second->out());
  EXPECT_EQ(first->err(), "");
}

TEST_F(Cli, ARunOverAShapedLinkIsTheSameRun) {
  std::vector<std::string> texts;
  for (const std::string link : {"inproc", "shm", "tcp"}) {
    auto run = start({"run", "-m", model(), "-p", "Hello", "-n", "5", "--ignore-eos", "--plan",
                      "combined", "--chunk", "2", "--link", link, "--shape", "200MB/s,0.2ms"});
    EXPECT_EQ(run->wait(), 0) << run->err();
    EXPECT_NE(run->err().find("prediction: equal"), std::string::npos) << run->err();
    texts.push_back(run->out());
  }
  auto unshaped = start({"run", "-m", model(), "-p", "Hello", "-n", "5", "--ignore-eos", "--plan",
                         "combined", "--chunk", "2"});
  EXPECT_EQ(unshaped->wait(), 0) << unshaped->err();
  for (const std::string& text : texts) EXPECT_EQ(text, unshaped->out());
}

TEST_F(Cli, ALedgerSaysWhatRanThenHasOneLineACallAndCanBeReported) {
  const std::string ledger = (dir() / "run.jsonl").string();
  auto run = start(
      {"run", "-m", model(), "-p", "Hello", "-n", "1", "--plan", "baseline", "--ledger", ledger});
  ASSERT_EQ(run->wait(), 0) << run->err();
  const std::string text = testing::file_text(ledger);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 2 + 6 * 2);
  EXPECT_EQ(text.rfind(R"({"model":{"name":)", 0), 0U) << text.substr(0, 200);
  EXPECT_NE(text.find(R"("plan":{"name":"baseline","attention":"matmul")"), std::string::npos);
  EXPECT_NE(text.find(R"("link":"shm"})"), std::string::npos);
  auto report = start({"report", ledger});
  EXPECT_EQ(report->wait(), 0) << report->err();
  EXPECT_NE(report->out().find("BatchLinear"), std::string::npos);
  EXPECT_NE(report->out().find("prediction: equal"), std::string::npos) << report->out();
}

TEST_F(Cli, TheLedgerOfSequencesSideBySideEqualsItsPrediction) {
  for (const std::string plan : {"baseline", "flash", "runner-attention", "blocks", "sealed"}) {
    auto bench = start({"bench", "-m", model(), "--tokens", "9", "-n", "4", "--sequences", "3",
                        "-r", "1", "--plan", plan, "--link", "unix", "--ledger-dir", dir()});
    ASSERT_EQ(bench->wait(), 0) << bench->err();
    auto report = start({"report", (dir() / (plan + "-unix.jsonl")).string()});
    EXPECT_EQ(report->wait(), 0) << report->err();
    EXPECT_NE(report->out().find("27 prompt tokens, 12 generated in 3 sequences side by side"),
              std::string::npos)
        << report->out();
    EXPECT_NE(report->out().find("prediction: equal"), std::string::npos) << report->out();
  }
}

TEST_F(Cli, BenchMeasuresEveryPlanAgainstItsPrediction) {
  auto bench = start({"bench", "-m", model(), "--tokens", "9", "--plan", "all", "--link",
                      "unix,tcp,inproc", "-r", "1", "--reference", "--format", "csv"});
  EXPECT_EQ(bench->wait(), 0) << bench->err();
  const std::string text = bench->out();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 10 * 3);
}

struct Refusal {
  std::string name;
  std::vector<std::string> arguments;  ///< MODEL and MISSING stand for folders
  int exit_code;
  std::string message;
};

class Refused : public Cli, public ::testing::WithParamInterface<Refusal> {};

TEST_P(Refused, WithOneClearError) {
  std::vector<std::string> arguments = GetParam().arguments;
  for (std::string& argument : arguments) {
    if (argument == "MODEL") argument = model();
    if (argument == "MISSING") argument = (dir() / "missing").string();
  }
  auto run = start(arguments);
  EXPECT_EQ(run->wait(), GetParam().exit_code) << run->err();
  EXPECT_NE(run->err().find(GetParam().message), std::string::npos) << run->err();
  EXPECT_EQ(run->out(), "");
}

INSTANTIATE_TEST_SUITE_P(
    BadInput, Refused,
    ::testing::Values(
        Refusal{"MissingFolder", {"run", "-m", "MISSING", "-p", "x"}, 1, "missing"},
        Refusal{"UnknownPlan",
                {"run", "-m", "MODEL", "-p", "x", "--plan", "flsh"},
                2,
                "did you mean `flash`"},
        Refusal{
            "UnknownWireDtype", {"run", "-m", "MODEL", "-p", "x", "--wire-dtype", "f8"}, 2, "f8"},
        Refusal{"NoPrompt", {"run", "-m", "MODEL"}, 2, "no prompt"},
        Refusal{"MissingPromptFile", {"run", "-m", "MODEL", "-f", "MISSING"}, 1, "missing"},
        Refusal{"PromptPastTheContext",
                {"run", "-m", "MODEL", "-p", std::string(5000, 'a')},
                2,
                "context of 2048"},
        Refusal{
            "BadTemperature", {"run", "-m", "MODEL", "-p", "x", "--temp", "-1"}, 2, "temperature"},
        Refusal{"BadTopP", {"run", "-m", "MODEL", "-p", "x", "--top-p", "0"}, 2, "top-p"},
        Refusal{"BadMinP", {"run", "-m", "MODEL", "-p", "x", "--min-p", "2"}, 2, "min-p"},
        Refusal{"BadRepetitionPenalty",
                {"run", "-m", "MODEL", "-p", "x", "--repeat-penalty", "0"},
                2,
                "penalty"},
        Refusal{"EmptyStopText", {"run", "-m", "MODEL", "-p", "x", "--stop", ""}, 2, "stop text"},
        Refusal{"TooManyLogprobs", {"run", "-m", "MODEL", "-p", "x", "--logprobs", "21"}, 2, "21"},
        Refusal{"NobodyListens",
                {"run", "-m", "MODEL", "-p", "x", "--worker", "unix:///nowhere/airlock.sock"},
                1,
                "unix:///nowhere/airlock.sock"},
        Refusal{"UnknownScheme",
                {"run", "-m", "MODEL", "-p", "x", "--worker", "http://localhost:1"},
                2,
                "http"},
        Refusal{"WorkerWithoutAddress", {"worker", "-m", "MODEL"}, 2, "--listen"},
        Refusal{"WorkerOnAFolder", {"worker", "-m", "MODEL", "--listen", "unix:///tmp"}, 2, "/tmp"},
        Refusal{"WorkerOnAGpu",
                {"worker", "-m", "MODEL", "--listen", "unix:///tmp/x", "--device", "cuda:1000"},
                1,
                "cuda:1000"},
        Refusal{"WorkerOfARunOnAGpu",
                {"run", "-m", "MODEL", "-p", "x", "--device", "cuda:1000"},
                1,
                "cuda:1000"},
        Refusal{"F16OnAProcessor",
                {"run", "-m", "MODEL", "-p", "x", "--compute-dtype", "f16"},
                2,
                "f16 is for GPUs"},
        Refusal{"Int8OnAProcessor",
                {"run", "-m", "MODEL", "-p", "x", "--compute-dtype", "int8"},
                2,
                "int8 is for GPUs"},
        Refusal{"CachesPastTheBudgetOfAPrivateWorker",
                {"run", "-m", "MODEL", "-p", "x", "--plan", "blocks", "--kv-budget", "0.000001"},
                1,
                "the budget is 1073;"},
        Refusal{"CachesPastTheBudgetOfAWorkerInThisProcess",
                {"run", "-m", "MODEL", "-p", "x", "--plan", "blocks", "--link", "inproc",
                 "--kv-budget", "0.000001"},
                1,
                "the budget is 1073;"},
        Refusal{"UnknownDevice", {"run", "-m", "MODEL", "-p", "x", "--device", "gpu"}, 2, "cuda:N"},
        Refusal{"BenchOfZeroTokens", {"bench", "-m", "MODEL", "--tokens", "0"}, 2, "0 tokens"},
        Refusal{"BenchPastTheContext", {"bench", "-m", "MODEL", "--tokens", "4096"}, 2, "context"},
        Refusal{"BenchOverAnUnknownLink",
                {"bench", "-m", "MODEL", "--link", "unx"},
                2,
                "did you mean `unix`"},
        Refusal{"ShapeThatIsNone",
                {"bench", "-m", "MODEL", "--shape", "fast"},
                2,
                "link shape `fast`: bandwidth is `fast`, expected"},
        Refusal{"ShapeOfNothing", {"run", "-m", "MODEL", "-p", "x", "--shape", ""}, 2, "shape ``"},
        Refusal{"SynthOfLayersItLacks",
                {"synth", "tiny", "MISSING", "--layers", "99"},
                2,
                "--layers 99: tiny has 1 to"},
        Refusal{"SynthOfAnUnknownPreset", {"synth", "llama-9", "MISSING"}, 2, "llama-9"},
        Refusal{"InspectOfAMissingFolder", {"inspect", "MISSING"}, 1, "missing"},
        Refusal{"RunWithAbsurdlyManyThreads",
                {"run", "-m", "MODEL", "-p", "x", "--threads", "100000"},
                2,
                "threads is 100000"},
        Refusal{"WorkerWithAbsurdlyManyThreads",
                {"worker", "-m", "MODEL", "--listen", "unix://@unused", "--threads", "100000"},
                2,
                "threads is 100000"},
        Refusal{"UnknownOwnerOfTheWorker",
                {"run", "-m", "MODEL", "-p", "x", "--worker-user", "no-such-user"},
                2,
                "no user `no-such-user`"},
        Refusal{"ALeastRateThatIsNone",
                {"run", "-m", "MODEL", "-p", "x", "--least-rate", "1e-9B/s"},
                2,
                "--least-rate: `1e-9B/s`, expected 1 B/s to 1 TB/s"},
        Refusal{"UnknownCommand", {"serve"}, 2, ""}),
    [](const auto& at) { return at.param.name; });

TEST_F(Cli, APromptThatBeginsWithBosIsSaidAndMayBeTheOnlyOne) {
  const std::string prompt = "<|begin_of_text|>Hello";
  const std::vector<std::string> arguments = {"run",  "-m", model(), "-p",
                                              prompt, "-n", "0",     "--print-ids"};
  const std::string said = "begins with <|begin_of_text|>, and one more was added";
  auto twice = start(arguments);
  EXPECT_EQ(twice->wait(), 0) << twice->err();
  EXPECT_NE(twice->err().find(said), std::string::npos) << twice->err();
  for (const char* flag : {"--no-bos", "-q"}) {
    std::vector<std::string> more = arguments;
    more.emplace_back(flag);
    auto run = start(more);
    EXPECT_EQ(run->wait(), 0) << run->err();
    EXPECT_EQ(run->err().find(said), std::string::npos) << run->err();
    EXPECT_EQ(run->out() == twice->out(), flag == std::string("-q"));
  }
  auto plain = start({"run", "-m", model(), "-p", "Hello", "-n", "0", "--print-ids"});
  std::vector<std::string> once = arguments;
  once.emplace_back("--no-bos");
  auto run = start(once);
  EXPECT_EQ(plain->wait(), 0) << plain->err();
  EXPECT_EQ(run->wait(), 0) << run->err();
  EXPECT_EQ(run->out(), plain->out());
}

TEST_F(Cli, NumbersOutOfRangeAreRefusedWithTheRange) {
  struct Case {
    std::vector<std::string> words;
    std::string says;
  };
  const std::string whole = "expected a whole number in [0, 9223372036854775807], found ";
  const std::string seed = "expected a whole number in [0, 18446744073709551615], found ";
  for (const Case& c : {
           Case{{"-n", "-1"}, "--tokens: " + whole + "`-1`"},
           Case{{"-n", "x"}, whole + "`x`"},
           Case{{"-n", "1.5"}, whole + "`1.5`"},
           Case{{"-n", "9223372036854775808"}, whole + "`9223372036854775808`"},
           Case{{"--seed", "18446744073709551616"}, "--seed: " + seed + "`18446744073709551616`"},
           Case{{"--seed", "-1"}, seed + "`-1`"},
           Case{{"--timeout", "-1"}, "expected a number of 0 or more, found `-1`"},
       }) {
    std::vector<std::string> words = {"run", "-m", model(), "-p", "x"};
    words.insert(words.end(), c.words.begin(), c.words.end());
    auto run = start(words);
    EXPECT_EQ(run->wait(), 2);
    EXPECT_NE(run->err().find(c.says), std::string::npos) << run->err();
    EXPECT_LT(run->err().size(), 300U) << run->err();
  }
  auto largest = start({"run", "-q", "-m", model(), "-p", "x", "-n", "1", "--temp", "1", "--seed",
                        "18446744073709551615"});
  EXPECT_EQ(largest->wait(), 0) << largest->err();
}

// NaN, infinities and what rounds to nothing would silently mean "no limit".
TEST_F(Cli, ALimitThatWouldBeNoneIsRefusedByItsFlag) {
  struct Flag {
    const char* command;
    const char* name;
  };
  for (const Flag flag : {Flag{"run", "--timeout"},
                          {"run", "--shm-budget"},
                          {"run", "--kv-budget"},
                          {"run", "--gpu-memory"},
                          {"run", "--pad-memory"},
                          {"worker", "--stall-timeout"},
                          {"worker", "--idle-timeout"},
                          {"worker", "--hello-timeout"},
                          {"worker", "--session-timeout"},
                          {"worker", "--hello-timeout"},
                          {"worker", "--session-timeout"},
                          {"worker", "--max-payload"},
                          {"worker", "--shm-budget"},
                          {"worker", "--kv-budget"},
                          {"worker", "--memory"},
                          {"plan", "--pad-rate"},
                          {"plan", "--check-rate"},
                          {"plan", "--shield-rate"}}) {
    for (const std::string value : {"nan", "inf", "1e-9", "1e300"}) {
      std::vector<std::string> arguments = {flag.command, "-m", model(), flag.name, value};
      const std::string command = flag.command;
      if (command == "run") arguments.insert(arguments.end(), {"-p", "x"});
      if (command == "worker") arguments.insert(arguments.end(), {"--listen", "unix://@unused"});
      auto refused = start(arguments);
      EXPECT_EQ(refused->wait(), 2) << flag.name << " " << value << ": " << refused->err();
      EXPECT_NE(refused->err().find(flag.name), std::string::npos) << refused->err();
      EXPECT_EQ(refused->out(), "");
    }
  }
  for (const std::string value : {"nan", "inf"}) {
    auto turn = start({"worker", "-m", model(), "--listen", "unix://@unused", "--max-turn", value});
    EXPECT_EQ(turn->wait(), 2) << value << ": " << turn->err();
    for (const std::string flag : {"--temp", "--top-p", "--min-p", "--repeat-penalty"}) {
      auto refused = start({"run", "-m", model(), "-p", "x", flag, value});
      EXPECT_EQ(refused->wait(), 2) << flag << " " << value << ": " << refused->err();
    }
  }
}

TEST_F(Cli, QuietIsQuietOverEveryLink) {
  for (const std::string link : {"inproc", "unix", "tcp", "shm"}) {
    auto run = start({"run", "-q", "-m", model(), "-p", "Hello", "-n", "2", "--link", link});
    EXPECT_EQ(run->wait(), 0);
    EXPECT_EQ(run->err(), "") << link;
  }
}

TEST_F(Cli, ATruncatedCheckpointIsNamed) {
  std::filesystem::resize_file(std::filesystem::path(model()) / "model.safetensors", 5000);
  auto run = start({"run", "-m", model(), "-p", "x"});
  EXPECT_EQ(run->wait(), 1);
  EXPECT_NE(run->err().find("model.safetensors"), std::string::npos) << run->err();
}

TEST_F(Cli, AWorkerThatIsKilledEndsTheRunWithAnErrorThatSaysSo) {
  auto bench = start({"bench", "-m", model(), "--tokens", "64", "-r", "100000000"});
  ASSERT_TRUE(bench->says("baseline over shm"));
  const pid_t worker = bench->child();
  ASSERT_GT(worker, 0);
  ::kill(worker, SIGKILL);
  EXPECT_EQ(bench->wait(), 1);
  EXPECT_NE(bench->err().find("was killed by signal 9"), std::string::npos) << bench->err();
}

TEST_F(Cli, AnInterruptEndsTheRunAndItsWorker) {
  auto bench = start({"bench", "-m", model(), "--tokens", "64", "-r", "100000000"});
  ASSERT_TRUE(bench->says("baseline over shm"));
  const pid_t worker = bench->child();
  ASSERT_GT(worker, 0);
  bench->signal(SIGINT);
  EXPECT_EQ(bench->wait(), 130) << bench->err();
  EXPECT_FALSE(testing::is_running(worker));
}

TEST_F(Cli, ARunnerThatIsKilledTakesItsWorkerAlong) {
  auto bench = start({"bench", "-m", model(), "--tokens", "64", "-r", "100000000"});
  ASSERT_TRUE(bench->says("baseline over shm"));
  const pid_t worker = bench->child();
  ASSERT_GT(worker, 0);
  bench->signal(SIGKILL);
  bench->wait();
  EXPECT_TRUE(testing::eventually([&] { return !testing::is_running(worker); }));
}

}  // namespace
}  // namespace airlock::run_test
