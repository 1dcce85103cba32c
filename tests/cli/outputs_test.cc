// What becomes of output that is a terminal, full, closed or limited, and of what a process holds.
#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "airlock/core/terminal.h"

#include "tests/cli/cli_fixture.h"
#include "tests/support/pseudo_terminal.h"

namespace airlock::outputs_test {
namespace {

using testing::Start;

void become(const char* path, int fd) {
  ::dup2(::open(path, O_RDWR | O_CLOEXEC), fd);
}

/// Bytes above which no file grows.
void limit_files(rlim_t bytes) {
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

class CliOutputs : public testing::CliFixture {
 protected:
  [[nodiscard]] std::vector<std::string> run_words(const std::vector<std::string>& more) const {
    std::vector<std::string> words = {"run", "-m", model(), "-p", "Hello", "--ignore-eos"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  [[nodiscard]] mode_t mode_of(const std::string& name) const {
    struct stat status {};
    EXPECT_EQ(::stat((dir() / name).c_str(), &status), 0) << name;
    return status.st_mode & 0777U;
  }
};

TEST_F(CliOutputs, ATerminalShowsWhatAPipeGetsAsItIs) {
  // Any token is as likely as another: control characters are among them.
  const auto words =
      run_words({"-q", "-n", "600", "--temp", "1e9", "--plan", "baseline", "--link", "inproc"});
  auto piped = start(words);
  ASSERT_EQ(piped->wait(), 0) << piped->err();
  ASSERT_NE(piped->out().find('\x1b'), std::string::npos) << "nothing to escape";
  testing::PseudoTerminal terminal;
  auto shown = start(words, {.prepare = [&] { terminal.become(1); }});
  const std::string text = terminal.read_all();
  EXPECT_EQ(shown->wait(), 0) << shown->err();
  EXPECT_EQ(text, shown_text(piped->out()));
}

TEST_F(CliOutputs, ATerminalIsNotDrivenByResultsOfAnyKind) {
  const std::string evil = "\x1b]0;owned\x07\u009b2J\u202e";
  const auto folder = dir() / ("model" + evil);
  std::filesystem::rename(model(), folder);
  const std::vector<std::vector<std::string>> commands = {
      {"tokenize", "-m", folder, "-p", evil, "--format", "json"},
      {"plan", "-m", folder, "--tokens", "8"},
      {"inspect", folder},
      {"inspect", folder / evil},
      {"run", "-m", folder, "-p", "x", "-n", "2", "--plan", evil},
      {"run", "-m", folder, "-p", "x", "-n", "2", "--ledger", dir() / evil},
  };
  for (const auto& words : commands) {
    testing::PseudoTerminal terminal;
    auto process = start(words, {.prepare = [&] {
                           terminal.become(1);
                           terminal.become(2);
                         }});
    std::string text = terminal.read_all();
    process->wait();
    EXPECT_FALSE(text.empty());
    // A progress line's own.
    for (std::size_t at = 0; (at = text.find("\r\x1b[K")) != std::string::npos;) text.erase(at, 4);
    EXPECT_EQ(shown_text(text), text) << words[0];
  }
}

TEST_F(CliOutputs, WhatStdoutRefusesEndsTheProgramWithOne) {
  const std::vector<std::vector<std::string>> commands = {
      run_words({"-n", "3"}),
      run_words({"-n", "3", "--print-ids"}),
      {"tokenize", "-m", model(), "-p", "Hello"},
      {"tokenize", "-m", model(), "-p", "Hello", "--format", "json"},
      {"detokenize", "-m", model(), "5"},
      {"plan", "-m", model(), "--tokens", "8"},
      {"plan", "-m", model(), "--tokens", "8", "--format", "json"},
      {"inspect", model()},
      {"bench", "-m", model(), "--tokens", "4", "-r", "1"},
      {"--help"},
      {"--version"},
      {"run", "--help"},
  };
  for (const auto& words : commands) {
    auto full = start(words, {.prepare = [] { become("/dev/full", 1); }});
    EXPECT_EQ(full->wait(), 1) << words[0];
    EXPECT_NE(full->err().find("cannot write to standard output: No space left on device"),
              std::string::npos)
        << words[0] << ": " << full->err();
    auto closed = start(words, {.prepare = [] { ::close(1); }});
    EXPECT_EQ(closed->wait(), 1) << words[0];
    EXPECT_NE(closed->err().find("cannot write to standard output: Bad file descriptor"),
              std::string::npos)
        << words[0] << ": " << closed->err();
    auto broken = start(words, {.prepare = [] {
                          int ends[2];
                          if (::pipe(ends) != 0) return;
                          ::dup2(ends[1], 1);
                          ::close(ends[0]);
                          ::close(ends[1]);
                        }});
    EXPECT_EQ(broken->wait(), 1) << words[0];
    EXPECT_NE(broken->err().find("cannot write to standard output: Broken pipe"), std::string::npos)
        << words[0] << ": " << broken->err();
  }
}

TEST_F(CliOutputs, StderrThatTakesNothingChangesNothing) {
  const auto words = run_words({"-n", "4"});
  auto usual = start(words);
  ASSERT_EQ(usual->wait(), 0) << usual->err();
  const std::array<Start, 3> ways = {
      Start{.prepare = [] { become("/dev/full", 2); }},
      Start{.prepare = [] { ::close(2); }},
      Start{.prepare =
                [] {
                  int ends[2];
                  if (::pipe(ends) != 0) return;
                  ::dup2(ends[1], 2);
                  ::close(ends[0]);
                  ::close(ends[1]);
                }},
  };
  for (const Start& way : ways) {
    auto run = start(words, way);
    EXPECT_EQ(run->wait(), 0);
    EXPECT_EQ(run->out(), usual->out());
    auto usage = start({"run", "-m", model(), "--no-such-flag"}, way);
    EXPECT_EQ(usage->wait(), 2);
    auto failure = start({"inspect", (dir() / "missing").string()}, way);
    EXPECT_EQ(failure->wait(), 1);
  }
}

TEST_F(CliOutputs, NothingTakesTheNumberOfAClosedStream) {
  const std::string ledger = (dir() / "l.jsonl").string();
  auto usual = start(run_words({"-n", "6", "--plan", "baseline", "--ledger", ledger}));
  ASSERT_EQ(usual->wait(), 0) << usual->err();
  const auto lines = [&] {
    const std::string text = testing::file_text(ledger);
    return std::count(text.begin(), text.end(), '\n');
  };
  const auto whole = lines();
  for (int closed = 1; closed < 8; ++closed) {  // of 0, 1 and 2, each combination
    auto run =
        start(run_words({"-n", "6", "--plan", "baseline", "--ledger", ledger}), {.prepare = [=] {
                for (int fd = 0; fd < 3; ++fd) {
                  if ((closed >> fd & 1) != 0) ::close(fd);
                }
              }});
    const bool has_stdout = (closed & 2) == 0;
    EXPECT_EQ(run->wait(), has_stdout ? 0 : 1) << closed;
    if (has_stdout) {
      EXPECT_EQ(run->out(), usual->out()) << closed;
      EXPECT_EQ(lines(), whole) << closed;
    }
    // Whatever ran of it, every line is a call's or the header.
    std::istringstream text(testing::file_text(ledger));
    for (std::string line; std::getline(text, line);) EXPECT_EQ(line.front(), '{') << closed;
  }
}

TEST_F(CliOutputs, WhatIsWrittenOfARunIsTheUsersOwn) {
  const Start open_umask{.prepare = [] { ::umask(0); }};
  const std::string ledger = (dir() / "l.jsonl").string();
  auto run = start(run_words({"-n", "2", "--ledger", ledger}), open_umask);
  ASSERT_EQ(run->wait(), 0) << run->err();
  auto report = start({"report", ledger, "--html", (dir() / "l.html").string(), "--perfetto",
                       (dir() / "l.trace").string()},
                      open_umask);
  ASSERT_EQ(report->wait(), 0) << report->err();
  auto bench = start({"bench", "-m", model(), "--tokens", "4", "-r", "1", "--ledger-dir",
                      (dir() / "ledgers").string()},
                     open_umask);
  ASSERT_EQ(bench->wait(), 0) << bench->err();
  for (const std::string name : {"l.jsonl", "l.html", "l.trace", "ledgers/baseline-shm.jsonl"}) {
    EXPECT_EQ(mode_of(name), 0600U) << name;
  }
}

TEST_F(CliOutputs, AFullDiskIsOneErrorThatNamesTheFile) {
  auto run = start(run_words({"-n", "2", "--ledger", "/dev/full"}));
  EXPECT_EQ(run->wait(), 1);
  EXPECT_NE(run->err().find("/dev/full: cannot write the file: No space left"), std::string::npos)
      << run->err();
  const std::string ledger = (dir() / "l.jsonl").string();
  ASSERT_EQ(start(run_words({"-n", "2", "--ledger", ledger}))->wait(), 0);
  auto report = start({"report", ledger, "--html", "/dev/full"});
  EXPECT_EQ(report->wait(), 1);
  EXPECT_NE(report->err().find("/dev/full: cannot write the file: No space left"),
            std::string::npos)
      << report->err();
}

TEST_F(CliOutputs, ALimitOnFileSizesIsAnErrorAndNoDeath) {
  const std::string ledger = (dir() / "l.jsonl").string();
  // Diagnostics fit, the ledger of 40 tokens does not.
  auto run = start(run_words({"-q", "-n", "40", "--link", "unix", "--ledger", ledger}),
                   {.prepare = [] { limit_files(4096); }});
  EXPECT_EQ(run->wait(), 1) << run->err();
  EXPECT_NE(run->err().find("l.jsonl: cannot write the file: File too large"), std::string::npos)
      << run->err();
  auto synth =
      start({"synth", "tiny", (dir() / "new").string()}, {.prepare = [] { limit_files(4096); }});
  EXPECT_EQ(synth->wait(), 1) << synth->err();
  EXPECT_NE(synth->err().find("File too large"), std::string::npos) << synth->err();
  EXPECT_FALSE(std::filesystem::exists(dir() / "new"));
  auto nothing =
      start({"plan", "-m", model(), "--tokens", "8"}, {.prepare = [] { limit_files(0); }});
  EXPECT_EQ(nothing->wait(), 1);  // stdout is a file here
  for (const std::string link : {"shm", "unix", "tcp", "inproc"}) {
    // Neither shared memory nor anything else that is no file on a disk ends the program.
    auto piped =
        start(run_words({"-n", "2", "--hint-cache", (dir() / "hints").string(), "--link", link}),
              {.prepare = [] {
                limit_files(0);
                become("/dev/null", 1);
                become("/dev/null", 2);
              }});
    EXPECT_EQ(piped->wait(), 0) << link;
    EXPECT_TRUE(std::filesystem::is_empty(dir() / "hints")) << link;
  }
}

TEST_F(CliOutputs, AWorkerOfTheRunnersOwnInheritsStderrAndItsConnection) {
  const std::string extra = (dir() / "extra").string();
  // Ends when it is told to: the ledger is open, and calls are under way.
  auto run = start(
      run_words({"-n", "2000", "--shape", "1GB/s,10ms", "--ledger", (dir() / "l.jsonl").string()}),
      {.prepare = [&] {
        const int fd = ::open(extra.c_str(), O_RDWR | O_CREAT, 0600);
        ::dup2(fd, 57);
      }});
  ASSERT_TRUE(run->says("prefill")) << run->err();
  const pid_t worker = run->child();
  ASSERT_GT(worker, 0);
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", worker))) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (gone || !target.starts_with('/')) continue;  // sockets, events
    const bool memory = target.starts_with("/memfd:airlock");
    const bool standard = target == "/dev/null" || target.ends_with(".err");
    const bool model_file = target.starts_with(model());
    EXPECT_TRUE(memory || standard || model_file) << entry.path() << " is " << target;
    ++files;
  }
  EXPECT_GE(files, 3);
  EXPECT_FALSE(std::filesystem::exists(fmt::format("/proc/{}/fd/57", worker)));
  run->signal(SIGTERM);
  EXPECT_EQ(run->wait(), 143) << run->err();
}

TEST_F(CliOutputs, APromptComesFromStandardInput) {
  auto spelled = start(run_words({"-n", "4", "-q"}));
  ASSERT_EQ(spelled->wait(), 0) << spelled->err();
  testing::write_file(dir() / "prompt", "Hello");
  const std::string prompt = (dir() / "prompt").string();
  auto read = start({"run", "-q", "-m", model(), "-f", "-", "--ignore-eos", "-n", "4"},
                    {.prepare = [&] { become(prompt.c_str(), 0); }});
  EXPECT_EQ(read->wait(), 0) << read->err();
  EXPECT_EQ(read->out(), spelled->out());
  auto closed = start({"run", "-q", "-m", model(), "-f", "-"}, {.prepare = [] { ::close(0); }});
  EXPECT_EQ(closed->wait(), 1);
  EXPECT_EQ(closed->err(), "airlock: standard input: cannot read it: Bad file descriptor\n");
}

}  // namespace
}  // namespace airlock::outputs_test
