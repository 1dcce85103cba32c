// What becomes of files that are there when a command is to write others in their place.
#include <algorithm>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/cli/cli_fixture.h"

namespace airlock::output_paths_test {
namespace {

class OutputPaths : public testing::CliFixture {
 protected:
  void SetUp() override {
    testing::CliFixture::SetUp();
    for (const char* name : {"old.jsonl", "old.npy"}) testing::write_file(dir() / name, "old");
    testing::write_file(dir() / "prompt", "Hello");
  }
  [[nodiscard]] std::string at(const std::string& name) const { return (dir() / name).string(); }
  [[nodiscard]] std::string text(const std::string& name) const {
    return testing::file_text(dir() / name);
  }
  std::unique_ptr<testing::Process> run(const std::vector<std::string>& more,
                                        const testing::Start& how = {}) {
    std::vector<std::string> words = {"run",        "-m",     model(),    "-f",
                                      at("prompt"), "--plan", "baseline", "--ignore-eos"};
    words.insert(words.end(), more.begin(), more.end());
    return start(words, how);
  }
  /// A run that takes hours, after its first token is in the logits file that is being made.
  std::unique_ptr<testing::Process> long_run() {
    auto process = run({"-n", "1000", "--link", "shm", "--shape", "1GB/s,20ms", "--ledger",
                        at("old.jsonl"), "--logits", at("old.npy")});
    EXPECT_TRUE(testing::eventually([&] {
      const auto parts = temporaries();
      return std::any_of(parts.begin(), parts.end(), [](const auto& path) {
        std::error_code gone;
        const auto bytes = std::filesystem::file_size(path, gone);
        return !gone && bytes > 128 && text_of(path).starts_with("\x93NUMPY");
      });
    })) << process->err();
    return process;
  }
  [[nodiscard]] std::set<std::filesystem::path> temporaries() const {
    std::set<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(dir())) {
      if (entry.path().filename().string().starts_with(".airlock-")) found.insert(entry.path());
    }
    return found;
  }
  static std::string text_of(const std::filesystem::path& path) { return testing::file_text(path); }
};

TEST_F(OutputPaths, ARunThatFailsBeforeItsFirstTokenLosesNothing) {
  for (const std::vector<std::string>& fault : std::vector<std::vector<std::string>>{
           {"--top-p", "7"}, {"--worker", "unix://" + at("nobody.sock"), "--timeout", "1"}}) {
    std::vector<std::string> words = {"--ledger", at("old.jsonl"), "--logits", at("old.npy")};
    words.insert(words.end(), fault.begin(), fault.end());
    EXPECT_NE(run(words)->wait(), 0) << fault[0];
    EXPECT_EQ(text("old.jsonl"), "old") << fault[0];
    EXPECT_EQ(text("old.npy"), "old") << fault[0];
    EXPECT_TRUE(temporaries().empty()) << fault[0];
  }
}

TEST_F(OutputPaths, ARunThatBreaksLeavesItsLedgerAndTheLogitsThatWereThere) {
  auto process = long_run();
  ::kill(process->child(), SIGKILL);
  EXPECT_EQ(process->wait(), 1) << process->err();
  EXPECT_EQ(text("old.jsonl").rfind(R"({"model":)", 0), 0U);
  EXPECT_EQ(text("old.npy"), "old");
  EXPECT_TRUE(temporaries().empty());
}

TEST_F(OutputPaths, ARunThatIsStoppedLeavesWhatItHad) {
  auto process = long_run();
  process->signal(SIGINT);
  EXPECT_EQ(process->wait(), 130) << process->err();
  EXPECT_EQ(text("old.jsonl").rfind(R"({"model":)", 0), 0U);
  EXPECT_TRUE(text("old.npy").starts_with("\x93NUMPY"));
  EXPECT_GT(text("old.npy").size(), 128U);
  EXPECT_TRUE(temporaries().empty());
}

TEST_F(OutputPaths, WhatWouldOverwriteAnotherFileOfTheCommandIsRefused) {
  ASSERT_EQ(run({"-n", "2", "--ledger", at("l.jsonl")})->wait(), 0);
  std::filesystem::create_hard_link(dir() / "prompt", dir() / "hard");
  std::filesystem::create_symlink("model", dir() / "alias");
  std::filesystem::create_symlink("model/config.json", dir() / "config");
  const std::vector<std::string> base = {"run", "-m", model(), "-f", at("prompt"), "-n", "1"};
  const std::string config = text("model/config.json");
  const std::string ledger = text("l.jsonl");
  struct Case {
    std::vector<std::string> words;
    std::string says;
  };
  const auto of_run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  const std::vector<Case> cases = {
      {of_run({"--ledger", at("new"), "--logits", at("new")}), "the same file as --ledger"},
      {of_run({"--ledger", at("new"), "--logits", at("model/../new")}), "the same file as"},
      {of_run({"--ledger", at("old.npy"), "--logits", at("old.npy")}), "the same file as"},
      {of_run({"--ledger", at("prompt")}), "the same file as -f"},
      {of_run({"--logits", at("hard")}), "the same file as -f"},
      {of_run({"--logits", at("model/config.json")}), "in the model's folder"},
      {of_run({"--ledger", at("alias/new.jsonl")}), "in the model's folder"},
      {of_run({"--ledger", at("config")}), "in the model's folder"},
      {{"report", at("l.jsonl"), "--html", at("l.jsonl")}, "the same file as a ledger to read"},
      {{"report", at("l.jsonl"), "--html", at("h"), "--perfetto", at("h")}, "as --html"},
      {{"report", at("l.jsonl"), "-m", model(), "--html", at("model/h")}, "in the model's folder"},
      {{"bench", "-m", model(), "--ledger-dir", at("alias")}, "in the model's folder"},
  };
  for (const auto& [words, says] : cases) {
    auto process = start(words);
    EXPECT_EQ(process->wait(), 2) << says;
    EXPECT_NE(process->err().find(says), std::string::npos) << process->err();
    EXPECT_EQ(process->out(), "");
  }
  auto onto_stdout = run({"-n", "1", "--ledger", at("out")}, {.prepare = [path = at("out")] {
                           ::dup2(::open(path.c_str(), O_WRONLY | O_CREAT, 0600), 1);
                         }});
  EXPECT_EQ(onto_stdout->wait(), 2);
  EXPECT_NE(onto_stdout->err().find("the same file as standard output"), std::string::npos);
  EXPECT_EQ(text("prompt"), "Hello");
  EXPECT_EQ(text("model/config.json"), config);
  EXPECT_EQ(text("l.jsonl"), ledger);
  EXPECT_EQ(text("old.npy"), "old");
  for (const char* name : {"new", "h", "model/h", "model/new.jsonl"}) {
    EXPECT_FALSE(std::filesystem::exists(dir() / name)) << name;
  }
}

TEST_F(OutputPaths, AFileThatOthersReadBecomesTheUsersOwnAndALinkIsRefused) {
  ASSERT_EQ(run({"-n", "2", "--ledger", at("l.jsonl")})->wait(), 0);
  const auto commands = [&](const std::string& path) {
    return std::vector<std::vector<std::string>>{
        {"run", "-q", "-m", model(), "-p", "Hello", "-n", "2", "--ledger", path},
        {"report", at("l.jsonl"), "--html", path},
        {"report", at("l.jsonl"), "--perfetto", path}};
  };
  std::filesystem::create_symlink("old.npy", dir() / "link");
  for (const auto& words : commands(at("link"))) {
    auto process = start(words);
    EXPECT_EQ(process->wait(), 1);
    EXPECT_NE(process->err().find("link: cannot create the file: it is a link"), std::string::npos)
        << process->err();
  }
  EXPECT_EQ(text("old.npy"), "old");
  for (const auto& words : commands(at("open"))) {
    testing::write_file(dir() / "open", "old");
    std::filesystem::permissions(dir() / "open", std::filesystem::perms(0644));
    auto process = start(words);
    EXPECT_EQ(process->wait(), 0) << process->err();
    EXPECT_NE(text("open"), "old");
    EXPECT_EQ(std::filesystem::status(dir() / "open").permissions(), std::filesystem::perms(0600));
  }
}

TEST_F(OutputPaths, DevicesAndDescriptorsAreWrittenThemselves) {
  auto twice = run({"-n", "2", "-q", "--ledger", "/dev/stdout"});
  EXPECT_EQ(twice->wait(), 0) << twice->err();
  EXPECT_NE(twice->out().find(R"("plan":{"name":"baseline")"), std::string::npos);
  EXPECT_EQ(run({"-n", "2", "--ledger", "/dev/null"})->wait(), 0);
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST_F(OutputPaths, LogitsOfNoTokensAreAnArrayOfNoRows) {
  ASSERT_EQ(run({"-n", "0", "--logits", at("old.npy")})->wait(), 0);
  EXPECT_EQ(text("old.npy").size(), 128U);
  EXPECT_NE(text("old.npy").find("'shape': (0, "), std::string::npos);
}

TEST_F(OutputPaths, AFolderForLedgersThatCannotBeIsRefusedBeforeMeasuring) {
  for (const std::string& folder : {std::string("/dev/full"), at("prompt"), at("prompt/below")}) {
    auto bench =
        start({"bench", "-m", model(), "--tokens", "4", "-r", "1", "--ledger-dir", folder});
    EXPECT_EQ(bench->wait(), 1);
    EXPECT_NE(bench->err().find("--ledger-dir " + folder + ": cannot write files there"),
              std::string::npos)
        << bench->err();
    EXPECT_EQ(bench->err().find("baseline over"), std::string::npos) << bench->err();
  }
}

}  // namespace
}  // namespace airlock::output_paths_test
