// Plans of the ring from the command line: the default, every source of pads, and what is refused.
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/link/connect.h"
#include "airlock/math/field.h"

#include "tests/cli/cli_fixture.h"
#include "tests/support/split.h"

namespace airlock::sealed_test {
namespace {

/// A backend that changes one element of a reply: the `target`-th RingLinear's, or every
/// PadProduct's.
class LyingBackend final : public Backend {
 public:
  LyingBackend(Backend& honest, Op op, int target) : honest_(honest), op_(op), target_(target) {}

  [[nodiscard]] const ModelConfig& config() const override { return honest_.config(); }
  [[nodiscard]] DType compute_dtype() const override { return honest_.compute_dtype(); }
  [[nodiscard]] ProductKinds products() const override { return honest_.products(); }
  [[nodiscard]] std::string description() const override { return honest_.description(); }
  [[nodiscard]] std::int64_t weight_bytes() const override { return honest_.weight_bytes(); }
  [[nodiscard]] std::unique_ptr<BackendSequence> open_sequence() override {
    return honest_.open_sequence();
  }
  void execute(const Call& call, std::span<BackendSequence* const> sequences,
               std::span<const ConstTensor> inputs, std::span<const Tensor> outputs) override {
    honest_.execute(call, sequences, inputs, outputs);
    if (call.op != op_ || calls_++ != target_) return;
    auto* const word = reinterpret_cast<std::uint32_t*>(outputs[0].data);
    *word = field_add(*word, 1);
  }

 private:
  Backend& honest_;
  Op op_;
  int target_;
  int calls_ = 0;
};

class CliSealed : public testing::CliFixture {
 protected:
  std::string uri(const char* name) { return "unix://" + (dir() / name).string(); }

  /// A worker process of its own.
  std::unique_ptr<testing::Process> worker(const char* name, const std::string& products) {
    auto started = start({"worker", "-m", model(), "--listen", uri(name), "--products", products});
    EXPECT_TRUE(started->says("listening on")) << started->err();
    return started;
  }

  std::unique_ptr<testing::Process> run(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"run",   "-m", model(), "-p",
                                          "Hello", "-n", "6",     "--ignore-eos"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return start(arguments);
  }

  /// A run with a worker in this process that lies once: its exit code, with nothing printed.
  int exit_code_with_liar(Op op, int target, const std::vector<std::string>& more) {
    CheckpointSource source(Checkpoint::open(dir() / "model"));
    const Fingerprint fingerprint = compute_fingerprint(*Checkpoint::open(dir() / "model"));
    const auto honest = make_cpu_backend(source, {});
    LyingBackend liar(*honest, op, target);
    Server server(liar, fingerprint, {});
    const std::string at = uri("liar");
    const auto listener = listen(parse_uri(at));
    std::thread serving([&] { server.serve(*listener); });
    std::vector<std::string> arguments = more;
    arguments.insert(arguments.end(), {"--worker", at, "--hint-cache", "none"});
    auto ran = run(arguments);
    const int code = ran->wait();
    EXPECT_EQ(ran->out(), "") << "something was printed";
    error_ = ran->err();
    listener->close();
    serving.join();
    return code;
  }
  std::string error_;
};

TEST_F(CliSealed, IsTheDefaultAndEveryCallIsTheRings) {
  const std::string ledger = (dir() / "run.jsonl").string();
  auto ran = run({"--ledger", ledger});
  ASSERT_EQ(ran->wait(), 0) << ran->err();
  EXPECT_NE(ran->err().find("plan sealed"), std::string::npos) << ran->err();
  EXPECT_NE(ran->err().find("prediction: equal"), std::string::npos) << ran->err();
  const std::string text = testing::file_text(ledger);
  EXPECT_NE(text.find(R"("mask":"pads","soundness":31,"pads":"lattice")"), std::string::npos);
  for (const char* plain : {"BatchLinear", "LMHead", "Embedding"}) {
    EXPECT_EQ(text.find(plain), std::string::npos) << plain;
  }
  auto report = start({"report", ledger});
  EXPECT_EQ(report->wait(), 0) << report->err();
  EXPECT_NE(report->out().find("prediction: equal"), std::string::npos) << report->out();
  EXPECT_NE(report->out().find("the worker saw: nothing in plaintext\n"), std::string::npos);
}

TEST_F(CliSealed, RunsWithPadsOfEveryKindAndEveryKnob) {
  auto server = worker("w", "ring");
  auto dealer = worker("d", "all");
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{
           {"--pads", "local"},
           {"--pads", "lattice", "--lattice", "1024x2"},
           {"--pads", "dealer", "--dealer", uri("d"), "--worker", uri("w")},
           {"--pads", "dealer", "--dealer", uri("d")},
           {"--pad-memory", "0"},
           {"--soundness", "62", "--lm-head", "runner"},
           {"--plan", "private", "--chunk", "2"},
           {"--plan", "verified", "--link", "inproc"},
           {"--plan", "sealed", "--worker", uri("w"), "--hint-cache", "none"},
           {"--plan", "auto", "--must-not-see", "hidden"}}) {
    auto ran = run(more);
    EXPECT_EQ(ran->wait(), 0) << fmt::format("{}", fmt::join(more, " ")) << "\n" << ran->err();
    EXPECT_NE(ran->err().find("prediction: equal"), std::string::npos) << ran->err();
  }
}

TEST_F(CliSealed, BenchUsesThePadsThatPlanPredicts) {
  const std::vector<std::string> lengths = {"--tokens", "9",   "--plan", "private,verified,sealed",
                                            "--format", "json"};
  const auto rows = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), lengths.begin(), lengths.end());
    auto ran = start(arguments);
    EXPECT_EQ(ran->wait(), 0) << ran->err();
    return nlohmann::json::parse(ran->out());
  };
  const auto predicted = rows({"plan", "-m", model(), "-n", "3"});
  const auto measured = rows(
      {"bench", "-m", model(), "-n", "3", "-r", "1", "--link", "unix", "--hint-cache", "none"});
  ASSERT_EQ(measured.size(), 3U);
  EXPECT_GT(measured[2]["pad_rows"], 0);
  for (std::size_t i = 0; i < measured.size(); ++i) {
    for (const char* key : {"pad_rows", "sent_bytes", "received_bytes", "calls"}) {
      EXPECT_EQ(measured[i][key], predicted[i][key]) << i << ' ' << key;
    }
  }
}

TEST_F(CliSealed, ALieEndsTheRunWithCodeThreeAndNothingPrinted) {
  for (const int target : {0, 3, 8}) {  // the prefill has 4 calls a layer and the LM head
    EXPECT_EQ(exit_code_with_liar(Op::kRingLinear, target, {"--plan", "sealed"}), 3) << error_;
    EXPECT_NE(error_.find("is not the product"), std::string::npos) << error_;
  }
  EXPECT_EQ(exit_code_with_liar(Op::kRingLinear, 2, {"--plan", "verified"}), 3) << error_;
  EXPECT_EQ(exit_code_with_liar(Op::kPadProduct, 0, {"--plan", "sealed"}), 3) << error_;
  EXPECT_NE(error_.find("hint"), std::string::npos) << error_;
  EXPECT_EQ(exit_code_with_liar(Op::kPadProduct, 0, {"--plan", "private"}), 3) << error_;
}

TEST_F(CliSealed, RefusesInOneClearError) {
  auto plain = worker("p", "plain");
  auto server = worker("w", "ring");
  struct Case {
    std::vector<std::string> more;
    int code;
    std::string message;
  };
  for (const Case& c :
       {Case{{"--worker", uri("p")}, 1, "--products ring or all"},
        Case{{"--worker", uri("w"), "--plan", "baseline"}, 1, "--products ring"},
        Case{{"--worker", uri("w"), "--pads", "dealer", "--dealer", uri("w")}, 2, "worker itself"},
        Case{{"--worker", uri("w"), "--pads", "dealer", "--dealer", "shm" + uri("w").substr(4)},
             2,
             "worker itself"},
        Case{
            {"--worker", uri("w"), "--pads", "dealer", "--dealer", uri("./w")}, 2, "worker itself"},
        Case{{"--worker", uri("w"), "--pads", "dealer", "--dealer", uri("p")}, 1, "dealer"},
        Case{{"--pads", "dealer"}, 2, "--dealer"}, Case{{"--lattice", "512x2"}, 2, "1536"},
        Case{{"--lattice", "500x4"}, 2, "degree 500"}, Case{{"--lattice", "512"}, 2, "512x3"},
        Case{{"--soundness", "30"}, 2, "31"},
        Case{{"--pads", "latice"}, 2, "did you mean `lattice`"},
        Case{{"--mask", "pads", "--plan", "flash"}, 2, "wire-dtype ring"},
        Case{{"--verify", "yes"}, 2, "on or off"},
        Case{{"--attention", "flash"}, 2, "attention runner"},
        Case{{"--pad-memory", "nan"}, 2, "--pad-memory is nan"},
        Case{{"--pad-memory", "-1"}, 2, "--pad-memory"}}) {
    auto ran = run(c.more);
    EXPECT_EQ(ran->wait(), c.code) << c.message << "\n" << ran->err();
    EXPECT_NE(ran->err().find(c.message), std::string::npos) << ran->err();
    EXPECT_EQ(ran->out(), "");
  }
}

/// Read from a pipe: when the text is wanted, nothing of it is there yet.
TEST_F(CliSealed, NoCoreIsDumpedOnceAPromptOrATextIsRead) {
  for (const char* command : {"run", "perplexity"}) {
    const std::string pipe = (dir() / command).string();
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const bool runs = command == std::string("run");
    auto ran = start({command, "-m", model(), runs ? "-f" : "--text", pipe});
    const int text = ::open(pipe.c_str(), O_WRONLY | O_CLOEXEC);  // waits for the reader
    ASSERT_GE(text, 0);
    const std::string limits = testing::file_text(fmt::format("/proc/{}/limits", ran->pid()));
    EXPECT_TRUE(std::regex_search(limits, std::regex("Max core file size +0 +0 "))) << limits;
    ::close(text);
    (void)ran->wait();
  }
}

TEST_F(CliSealed, ThePromptDoesNotStayInTheCommandLine) {
  for (const std::vector<std::string>& prompt :
       std::vector<std::vector<std::string>>{{"-p", "Hush now"},
                                             {"--prompt", "Hush now"},
                                             {"--prompt=Hush now"},
                                             {"-pHush now"},
                                             {"-qp", "Hush now"}}) {
    std::vector<std::string> arguments = {"run", "-m", model()};
    arguments.insert(arguments.end(), prompt.begin(), prompt.end());
    arguments.insert(arguments.end(), {"-n", "4000", "--ignore-eos", "--shape", "1GB/s,10ms"});
    auto ran = start(arguments);
    ASSERT_GT(ran->child(), 0) << ran->err();  // has read its words
    const auto words = testing::file_text(fmt::format("/proc/{}/cmdline", ran->pid()));
    EXPECT_EQ(words.find("Hush"), std::string::npos) << words;
    EXPECT_NE(words.find("--ignore-eos"), std::string::npos) << "looked at something else";
    ran->signal(SIGTERM);
    EXPECT_EQ(ran->wait(), 143) << ran->err();
  }
  auto ran = start({"run", "-m", model(), "-p", "Hello", "-n", "2", "--ignore-eos"});
  auto same = start({"run", "-m", model(), "--prompt=Hello", "-n", "2", "--ignore-eos"});
  EXPECT_EQ(ran->wait(), 0) << ran->err();
  EXPECT_EQ(same->wait(), 0) << same->err();
  EXPECT_EQ(ran->out(), same->out());
}

}  // namespace
}  // namespace airlock::sealed_test
