#include "airlock/core/output_file.h"

#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/error.h"

#include "tests/support/temp_dir.h"

namespace airlock::output_file_test {
namespace {

TEST(OutputFile, IsTheUsersOwnAndReplacesWhatWasThere) {
  const testing::TempDir dir;
  const auto path = dir / "f";
  const mode_t before = ::umask(0);
  for (const std::string& text : {std::string("first and longer"), std::string(200000, 'x')}) {
    OutputFile file(path);
    file.write(text);
    file.close();
    EXPECT_EQ(testing::read_file(path), text);
  }
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST(OutputFile, KeepsWhatWasWrittenWhenItsOwnerDies) {
  const testing::TempDir dir;
  {
    OutputFile file(dir / "f");
    file.write("kept");
  }
  EXPECT_EQ(testing::read_file(dir / "f"), "kept");
}

TEST(OutputFile, OfNoChildIsInherited) {
  const testing::TempDir dir;
  const int free = ::dup(0);
  ::close(free);
  const OutputFile file(dir / "f");
  EXPECT_EQ(::fcntl(free, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(OutputFile, SaysWhichFileTheSystemRefuses) {
  const auto expect_io = [](const std::string& name, const std::string& why, const auto& body) {
    try {
      body();
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  };
  expect_io("/nowhere/f", "No such file", [] { const OutputFile file("/nowhere/f"); });
  OutputFile full("/dev/full");
  full.write("x");
  expect_io("/dev/full", "No space left", [&] { full.flush(); });
  expect_io("/dev/full", "closed", [&] {
    full.write("y");
    full.flush();
  });
  OutputFile large("/dev/full");
  expect_io("/dev/full", "No space left", [&] { large.write(std::string(1 << 20, 'x')); });
  OutputFile last("/dev/full");
  last.write("x");
  expect_io("/dev/full", "No space left", [&] { last.close(); });
}

}  // namespace
}  // namespace airlock::output_file_test
