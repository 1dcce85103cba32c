// Systems that lack something: a cache that cannot be written, /dev/shm, the program's own file.
#include <string>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/cli/cli_fixture.h"
#include "tests/support/environment.h"

namespace airlock::bare_system_test {
namespace {

using testing::Start;

class CliBareSystem : public testing::CliFixture {
 protected:
  [[nodiscard]] std::vector<std::string> run_words(const std::vector<std::string>& more) const {
    std::vector<std::string> words = {"run", "-m", model(), "-p", "Hello", "-n", "3"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  /// Starts a process for which `path` is a read-only view of `content`. Exit code 77: this system
  /// lets nobody have such a view.
  [[nodiscard]] std::unique_ptr<testing::Process> start_with_view(
      const std::vector<std::string>& words, const std::string& path, const std::string& content) {
    return start(words, {.prepare = [&] {
                   const bool seen =
                       ::unshare(CLONE_NEWNS) == 0 &&
                       ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       ::mount(content.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0 &&
                       ::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY,
                               nullptr) == 0;
                   if (!seen) ::_exit(77);
                 }});
  }
};

TEST_F(CliBareSystem, ACacheThatCannotBeMadeCostsHintsOneWarning) {
  // A file is no folder, for root neither.
  testing::write_file(dir() / "file", "x");
  const std::string cache = (dir() / "file/hints").string();
  auto run = start(run_words({"--hint-cache", cache}));
  EXPECT_EQ(run->wait(), 0) << run->err();
  EXPECT_NE(run->err().find("cannot keep the model's hints"), std::string::npos) << run->err();
  auto usual = start(run_words({"--hint-cache", "none"}));
  EXPECT_EQ(usual->wait(), 0) << usual->err();
  EXPECT_EQ(run->out(), usual->out());
}

TEST_F(CliBareSystem, APresetsModelThatCannotBeKeptIsOneError) {
  testing::write_file(dir() / "file", "x");
  const testing::ScopedVariable cache("AIRLOCK_CACHE", (dir() / "file").string());
  auto run = start({"run", "-m", "tiny", "-p", "Hello", "-n", "3"});
  EXPECT_EQ(run->wait(), 1) << run->err();
  EXPECT_NE(run->err().find("file/tiny: cannot be made: Not a directory"), std::string::npos)
      << run->err();
}

TEST_F(CliBareSystem, AReadOnlyCacheIsReadAndNotWritten) {
  const std::string cache = (dir() / "cache").string();
  std::filesystem::create_directory(cache);
  {
    auto empty = start_with_view(run_words({"--hint-cache", cache}), cache, cache);
    const int code = empty->wait();
    if (code == 77) GTEST_SKIP() << "no mounts for this user";
    EXPECT_EQ(code, 0) << empty->err();
    EXPECT_NE(empty->err().find("cannot keep the model's hints"), std::string::npos);
    EXPECT_NE(empty->err().find("Read-only file system"), std::string::npos) << empty->err();
  }
  auto fill = start(run_words({"--hint-cache", cache}));
  ASSERT_EQ(fill->wait(), 0) << fill->err();
  auto full = start_with_view(run_words({"--hint-cache", cache}), cache, cache);
  EXPECT_EQ(full->wait(), 0) << full->err();
  EXPECT_EQ(full->err().find("cannot keep"), std::string::npos) << full->err();
  EXPECT_EQ(full->out(), fill->out());
  const testing::ScopedVariable variable("AIRLOCK_CACHE", cache);
  auto preset = start_with_view({"run", "-m", "tiny", "-p", "Hello", "-n", "3"}, cache, cache);
  EXPECT_EQ(preset->wait(), 1) << preset->err();
  EXPECT_NE(preset->err().find("tiny: cannot be made: Read-only file system"), std::string::npos)
      << preset->err();
}

TEST_F(CliBareSystem, SharedMemoryNeedsNoDevShm) {
  std::filesystem::create_directory(dir() / "none");
  auto run = start_with_view(run_words({"--link", "shm", "--shm-threshold", "1KiB"}), "/dev/shm",
                             (dir() / "none").string());
  const int code = run->wait();
  if (code == 77) GTEST_SKIP() << "no mounts for this user";
  EXPECT_EQ(code, 0) << run->err();
  EXPECT_NE(run->err().find("prediction: equal"), std::string::npos) << run->err();
}

TEST_F(CliBareSystem, AProgramThatWasReplacedStartsTheWorkerItIs) {
  const std::string program = (dir() / "airlock").string();
  const std::string prompt = (dir() / "prompt").string();
  for (const bool gone : {false, true}) {
    std::filesystem::copy_file(testing::airlock_program(), program,
                               std::filesystem::copy_options::overwrite_existing);
    ASSERT_EQ(::mkfifo(prompt.c_str(), 0600), 0);
    const int writer = ::open(prompt.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(writer, 0);
    // The runner waits for the end of its prompt: its worker starts after that.
    auto run = start({"run", "-m", model(), "-f", "-", "-n", "3"},
                     {.program = program,
                      .prepare = [&] { ::dup2(::open(prompt.c_str(), O_RDONLY | O_CLOEXEC), 0); }});
    ASSERT_TRUE(testing::eventually([&] {
      std::error_code error;
      return std::filesystem::read_symlink("/proc/" + std::to_string(run->pid()) + "/exe", error) ==
             program;
    }));
    std::filesystem::remove(program);
    if (!gone) {
      testing::write_file(program, "#!/bin/sh\nexit 5\n");
      std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    }
    ASSERT_EQ(::write(writer, "Hello", 5), 5);
    ::close(writer);
    EXPECT_EQ(run->wait(), 0) << run->err();
    std::filesystem::remove(prompt);
    std::filesystem::remove(program);
  }
}

}  // namespace
}  // namespace airlock::bare_system_test
