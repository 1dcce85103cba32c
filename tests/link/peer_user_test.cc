// Sockets that lie where other users may reach them. Only root can play another user.
#include <csignal>
#include <cstring>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "airlock/link/socket_address.h"

#include "tests/link/link_support.h"

namespace airlock::peer_user_test {
namespace {

constexpr uid_t kStranger = 65534;

/// A process of another user. `act` makes system calls only, and its result is the exit code.
class Stranger {
 public:
  template <typename Act>
  explicit Stranger(const Act& act) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::_exit(::setuid(kStranger) == 0 ? act() : 99);
  }
  ~Stranger() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_;
};

class PeerUser : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_EQ(::chmod(folder_.path().c_str(), 0777), 0);
  }
  /// Connects to `address` and reads until the end: 0, or 1 if bytes came; 2 without connection.
  static int connect_and_read(const SocketAddress& address) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, address.get(), address.size) != 0) return 2;
    char byte = 0;
    return ::read(fd, &byte, 1) == 1 ? 1 : 0;
  }
  TempFolder folder_;
};

TEST_F(PeerUser, ASocketThatAStrangerPutThereIsRefusedUnlessMeant) {
  for (const Transport transport : {Transport::kUnix, Transport::kShm}) {
    Uri uri = folder_.socket(std::string(transport_name(transport)));
    uri.transport = transport;
    const SocketAddress address = unix_address(uri);
    const Stranger stranger([&] {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::bind(fd, address.get(), address.size) != 0 || ::listen(fd, 8) != 0) return 1;
      ::chmod(uri.path.c_str(), 0666);
      while (true) ::pause();
    });
    struct stat status {};
    for (int i = 0; i < 2000; ++i) {
      if (::stat(uri.path.c_str(), &status) == 0 && (status.st_mode & 0777U) == 0666U) break;
      ::usleep(10000);
    }
    expect_error(ErrorCode::kConnectionRefused, "belongs to user 65534", [&] { (void)dial(uri); });
    expect_error(ErrorCode::kConnectionRefused, "belongs to user 65534",
                 [&] { (void)dial(uri, {.peer_user = kStranger - 1}); });
    const auto link = dial(uri, {.peer_user = kStranger});
    EXPECT_FALSE(link->traits().private_to_user);
  }
}

TEST_F(PeerUser, AStrangerIsTurnedAwayEvenIfTheSocketsModeWasWidened) {
  const Uri uri = folder_.socket("s");
  const auto listener = listen(uri);
  ASSERT_EQ(::chmod(uri.path.c_str(), 0666), 0);
  const SocketAddress address = unix_address(uri);
  Stranger stranger([&] { return connect_and_read(address); });
  Background taker([&] {
    const auto link = listener->accept();  // not the stranger's: it has gone nowhere
    if (link == nullptr) return;
    const Bytes byte(1);
    link->send(byte);
  });
  EXPECT_EQ(stranger.wait(), 0);
  const auto ours = dial(uri);
  Bytes byte(1);
  ours->receive(byte);
}

TEST_F(PeerUser, AStrangerIsServedWhereTheSocketsModeInvitesIt) {
  const Uri uri = folder_.socket("s");
  const mode_t before = ::umask(0);
  const auto listener = listen(uri, {.socket_mode = 0666});
  ::umask(before);
  const SocketAddress address = unix_address(uri);
  Stranger stranger([&] { return connect_and_read(address); });
  const auto link = listener->accept();
  ASSERT_NE(link, nullptr);
  const Bytes byte(1);
  link->send(byte);
  EXPECT_EQ(stranger.wait(), 1);
}

}  // namespace
}  // namespace airlock::peer_user_test
