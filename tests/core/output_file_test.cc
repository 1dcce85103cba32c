#include "airlock/core/output_file.h"

#include <filesystem>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/doomed_file.h"
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

std::size_t files_in(const std::filesystem::path& folder) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files += entry.exists();
  return files;
}

TEST(OutputFile, KeepsWhatWasPublishedWhenItsOwnerDies) {
  const testing::TempDir dir;
  {
    OutputFile file(dir / "f");
    file.write("ke");
    file.publish();
    file.write("pt");
  }
  EXPECT_EQ(testing::read_file(dir / "f"), "kept");
  EXPECT_EQ(files_in(dir.path()), 1U);
}

TEST(OutputFile, LeavesWhatWasThereUntilItIsPublished) {
  const testing::TempDir dir;
  testing::write_file(dir / "f", "old");
  for (const std::string name : {"f", "none"}) {
    OutputFile file(dir / name);
    file.write("new");
    file.flush();
  }
  EXPECT_EQ(testing::read_file(dir / "f"), "old");
  EXPECT_EQ(files_in(dir.path()), 1U);
}

TEST(OutputFile, LeavesNothingWhenASignalEndsTheProcess) {
  const testing::TempDir dir;
  OutputFile file(dir / "f");
  OutputFile published(dir / "g");
  published.publish();
  EXPECT_EQ(files_in(dir.path()), 2U);
  remove_doomed_files();
  EXPECT_EQ(files_in(dir.path()), 1U);
  EXPECT_TRUE(std::filesystem::exists(dir / "g"));
}

TEST(OutputFile, ReplacesAPrivateFileWhateverModeWasThere) {
  const testing::TempDir dir;
  testing::write_file(dir / "f", "old");
  std::filesystem::permissions(dir / "f", std::filesystem::perms(0666));
  OutputFile file(dir / "f");
  file.close();
  EXPECT_EQ(std::filesystem::status(dir / "f").permissions(), std::filesystem::perms(0600));
}

TEST(OutputFile, NeverWritesThroughALink) {
  const testing::TempDir dir;
  testing::write_file(dir / "target", "old");
  std::filesystem::create_symlink("target", dir / "link");
  EXPECT_THROW(OutputFile(dir / "link"), Error);
  // One that comes only later is replaced.
  OutputFile file(dir / "late");
  file.write("new");
  std::filesystem::create_symlink("target", dir / "late");
  file.close();
  EXPECT_EQ(testing::read_file(dir / "late"), "new");
  EXPECT_EQ(testing::read_file(dir / "target"), "old");
}

TEST(OutputFile, WritesToAPipeItself) {
  const testing::TempDir dir;
  const std::string path = (dir / "pipe").string();
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  OutputFile file(path);
  file.write("x");
  file.close();
  char got = 0;
  EXPECT_EQ(::read(reader, &got, 1), 1);
  EXPECT_EQ(got, 'x');
  ::close(reader);
  EXPECT_TRUE(std::filesystem::is_fifo(path));
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
