#include "airlock/link/socket_file.h"

#include <fstream>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "airlock/link/socket_address.h"

#include "tests/link/link_support.h"

namespace airlock::socket_file_test {
namespace {

namespace fs = std::filesystem;

// A socket file whose owner is gone, as a killed worker leaves it.
void leave_stale_file(const Uri& uri) {
  const Fd fd = open_socket(AF_UNIX);
  const SocketAddress address = unix_address(uri);
  ASSERT_EQ(::bind(fd.get(), address.get(), address.size), 0);
}

TEST(SocketFile, IsGoneAfterClose) {
  const TempFolder folder;
  const Uri uri = folder.socket("s");
  const auto listener = listen(uri);
  EXPECT_TRUE(fs::is_socket(uri.path));
  listener->close();
  EXPECT_FALSE(fs::exists(uri.path));
}

mode_t mode_of_socket_made_with(const LinkOptions& options, mode_t umask) {
  const TempFolder folder;
  const Uri uri = folder.socket("s");
  const mode_t before = ::umask(umask);
  const auto listener = listen(uri, options);
  ::umask(before);
  struct stat status {};
  EXPECT_EQ(::lstat(uri.path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

TEST(SocketFile, IsForItsOwnerOnlyWhateverTheUmask) {
  EXPECT_EQ(mode_of_socket_made_with({}, 0), 0600u);
}

TEST(SocketFile, IsForOthersOnlyIfAsked) {
  EXPECT_EQ(mode_of_socket_made_with({.socket_mode = 0660}, 0), 0660u);
  EXPECT_EQ(mode_of_socket_made_with({.socket_mode = 0660}, 077), 0600u);
}

TEST(SocketFile, ReplacesAStaleOne) {
  const TempFolder folder;
  const Uri uri = folder.socket("s");
  leave_stale_file(uri);
  expect_error(ErrorCode::kConnectionRefused, "nobody listens there", [&] { (void)dial(uri); });
  const LinkEnds ends = connected_at(uri);
  EXPECT_NE(ends.second, nullptr);
  EXPECT_FALSE(fs::exists(uri.path));
}

TEST(SocketFile, NeverTouchesWhatIsNotASocket) {
  const TempFolder folder;
  const Uri uri = folder.socket("s");
  const Uri folder_uri = folder.socket("folder");
  const Uri symlink = folder.socket("symlink");
  std::ofstream(uri.path) << "precious";
  fs::create_directory(folder_uri.path);
  fs::create_symlink(folder.file("nowhere"), symlink.path);
  for (const Uri& taken : {uri, folder_uri, symlink}) {
    expect_error(ErrorCode::kInvalidArgument, "exists and is not a socket",
                 [&] { (void)listen(taken); });
  }
  EXPECT_EQ(fs::file_size(uri.path), 8u);
  EXPECT_TRUE(fs::is_directory(folder_uri.path));
  EXPECT_TRUE(fs::is_symlink(symlink.path));
}

TEST(SocketFile, LeavesASocketOfAnotherKindAlone) {
  const TempFolder folder;
  const Uri uri = folder.socket("s");
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const SocketAddress address = unix_address(uri);
  ASSERT_EQ(::bind(fd.get(), address.get(), address.size), 0);
  expect_error(ErrorCode::kAddressInUse, "choose another path", [&] { (void)listen(uri); });
  expect_error(ErrorCode::kConnectionRefused, "another kind", [&] { (void)dial(uri); });
  EXPECT_TRUE(fs::is_socket(uri.path));
}

TEST(SocketFile, LeavesASuccessorsFileAlone) {
  const TempFolder folder;
  const Uri uri = folder.socket("s");
  auto first = listen(uri);
  fs::remove(uri.path);
  const auto second = listen(uri);
  first.reset();
  EXPECT_TRUE(fs::is_socket(uri.path));
  const LinkEnds ends = connected_through(*second);
  EXPECT_NE(ends.second, nullptr);
}

TEST(SocketFile, NamesTheFolderThatIsMissing) {
  const TempFolder folder;
  const Uri uri = folder.socket("none/s");
  expect_error(ErrorCode::kInvalidArgument, "does not exist; create it first",
               [&] { (void)listen(uri); });
}

TEST(SocketFile, RefusesAPathThatDoesNotFit) {
  const Uri uri{Transport::kUnix, "/" + std::string(107, 'p'), "", 0};
  expect_error(ErrorCode::kInvalidArgument, "2 to 107 bytes", [&] { (void)listen(uri); });
  expect_error(ErrorCode::kInvalidArgument, "2 to 107 bytes", [&] { (void)dial(uri); });
}

TEST(SocketFile, OneOfManyThatStartAtOnceGetsThePath) {
  const TempFolder folder;
  const Uri uri = folder.socket("s");
  leave_stale_file(uri);
  std::vector<std::unique_ptr<Listener>> listeners(8);
  {
    std::vector<Background> threads;
    for (auto& listener : listeners) {
      threads.emplace_back([&] {
        const Caught caught = catch_error([&] { listener = listen(uri); });
        EXPECT_TRUE(!caught.thrown || caught.code == ErrorCode::kAddressInUse) << caught.message;
      });
    }
  }
  std::erase(listeners, nullptr);
  ASSERT_EQ(listeners.size(), 1u);
  // The others knocked to see whether somebody listens; their knocks end without a byte.
  const auto link = dial(uri);
  link->send(Bytes(1));
  auto taken = listeners[0]->accept();
  while (!taken->wait_readable(kLong)) taken = listeners[0]->accept();
}

}  // namespace
}  // namespace airlock::socket_file_test
