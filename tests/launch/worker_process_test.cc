#include "airlock/launch/worker_process.h"

#include <cerrno>
#include <filesystem>
#include <sstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "airlock/core/error.h"

#include "tests/support/leftovers.h"
#include "tests/support/temp_dir.h"

namespace airlock::worker_process_test {
namespace {
using ::testing::HasSubstr;

TEST(WorkerProcess, OfAProgramThatCannotRunIsOneErrorAndLeavesNothing) {
  const testing::TempDir dir;
  const std::string text = (dir / "text").string();
  testing::write_file(text, "no program");
  const std::string missing = (dir / "missing").string();
  const struct {
    std::string program;
    std::string why;
  } cases[] = {{missing, "No such file or directory"}, {text, "Permission denied"}};
  for (const auto& at : cases) {
    const testing::Holdings before = testing::holdings();
    try {
      const WorkerProcess process({.program = at.program, .arguments = {}});
      ADD_FAILURE() << at.program;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
      EXPECT_THAT(error.what(),
                  HasSubstr("cannot start the worker program " + at.program + ": " + at.why));
    }
    EXPECT_TRUE(testing::holds_no_more_than(before));
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }
}

TEST(WorkerProcess, SaysHowItEnded) {
  const testing::TempDir dir;
  const auto ended = [&](const std::string& command) {
    testing::write_file(dir / "program", "#!/bin/sh\n" + command + "\n");
    std::filesystem::permissions(dir / "program", std::filesystem::perms::owner_all);
    WorkerProcess process({.program = (dir / "program").string(), .arguments = {}});
    while (true) {
      if (const std::string how = process.how_it_ended(); !how.empty()) return how;
    }
  };
  EXPECT_EQ(ended("exit 3"), "exited with status 3");
  EXPECT_EQ(ended("kill -9 $$"), "was killed by signal 9");
}

TEST(WorkerProcess, GetsItsConnectionAndStandardStreams) {
  const testing::TempDir dir;
  const std::string list = (dir / "list").string();
  // Lists its descriptors; a shell keeps that of its script. The last word is the connection's.
  testing::write_file(
      dir / "program",
      "#!/bin/sh\nexec >" + list + "\nfor last; do :; done\necho $last\nls -l /proc/$$/fd\n");
  std::filesystem::permissions(dir / "program", std::filesystem::perms::owner_all);
  const int leak = ::open("/dev/null", O_RDWR);  // not marked, as a careless library leaves it
  const int far = ::dup2(leak, 57);
  WorkerProcess process(
      {.program = (dir / "program").string(), .arguments = {}, .transport = Transport::kUnix});
  while (process.how_it_ended().empty()) continue;
  ::close(leak);
  ::close(far);
  const std::string text = testing::read_file(list);
  std::istringstream lines(text);
  std::string named;
  lines >> named;
  bool connected = false;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t arrow = line.find(" -> ");
    if (arrow == std::string::npos) continue;
    const std::size_t blank = line.rfind(' ', arrow - 1);
    const std::string number = line.substr(blank + 1, arrow - blank - 1);
    const bool standard = number == "0" || number == "1" || number == "2";
    const bool script = line.ends_with("/program");
    const bool connection = number == named && line.find("socket:", arrow) != std::string::npos;
    connected = connected || connection;
    EXPECT_TRUE(standard || script || connection) << line;
  }
  EXPECT_TRUE(connected) << text;
}

}  // namespace
}  // namespace airlock::worker_process_test
