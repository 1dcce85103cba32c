#include "airlock/link/pair.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "airlock/link/socket_address.h"

#include "tests/link/link_support.h"

namespace airlock::pair_test {
namespace {

class PairTest : public ::testing::TestWithParam<Transport> {};

TEST_P(PairTest, AChildProcessSpeaksOverTheInheritedEnd) {
  LinkPair pair = make_pair(GetParam());
  // Sent first: the descriptor does not block, and cat gives up where nothing can be read yet.
  const Bytes message = pattern(1000, 1);
  pair.ours->send(message);
  posix_spawn_file_actions_t actions;
  ASSERT_EQ(::posix_spawn_file_actions_init(&actions), 0);
  ASSERT_EQ(::posix_spawn_file_actions_adddup2(&actions, pair.peer_fd.get(), STDIN_FILENO), 0);
  ASSERT_EQ(::posix_spawn_file_actions_adddup2(&actions, pair.peer_fd.get(), STDOUT_FILENO), 0);
  ASSERT_EQ(::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0),
            0);
  char name[] = "cat";
  char* argv[] = {name, nullptr};
  pid_t child = 0;
  ASSERT_EQ(::posix_spawnp(&child, name, &actions, nullptr, argv, environ), 0);
  ::posix_spawn_file_actions_destroy(&actions);
  pair.peer_fd.reset();
  Bytes got(message.size());
  pair.ours->receive(got);
  EXPECT_TRUE(message == got);
  EXPECT_FALSE(pair.ours->wait_readable(kLong)) << "the child's end closes with the child";
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
}

TEST_P(PairTest, TheChildsEndIsLostWithTheParent) {
  LinkPair pair = make_pair(GetParam());
  const auto child = adopt_fd(pair.peer_fd.release());
  pair.ours.reset();
  EXPECT_FALSE(child->wait_readable(kLong));
}

TEST_P(PairTest, BothEndsCloseOnExecUntilToldOtherwise) {
  const LinkPair pair = make_pair(GetParam());
  const int fd = pair.peer_fd.get();
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_TRUE(pair.peer_fd.keep_on_exec());
  EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  const auto adopted = adopt_fd(::dup(fd), GetParam() == Transport::kShm);
  EXPECT_EQ(adopted->transport(), GetParam());
}

TEST_P(PairTest, AdoptionClosesOnExecAgain) {
  LinkPair pair = make_pair(GetParam());
  ASSERT_TRUE(pair.peer_fd.keep_on_exec());
  const int fd = pair.peer_fd.release();
  const auto adopted = adopt_fd(fd);
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PairTest,
                         ::testing::Values(Transport::kUnix, Transport::kShm, Transport::kTcp),
                         [](const auto& test) { return std::string(transport_name(test.param)); });

TEST(MakePair, RefusesKindsThatNoChildCanInherit) {
  for (const Transport kind : {Transport::kInproc, Transport::kTls}) {
    expect_error(ErrorCode::kUnsupported, std::string(transport_name(kind)),
                 [&] { (void)make_pair(kind); });
  }
}

TEST(AdoptFd, RefusesWhatIsNotAConnectedStreamSocket) {
  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Fd datagram(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const Fd unconnected = open_socket(AF_UNIX);
  const Fd unconnected_tcp = open_socket(AF_INET);
  const auto adopt = [](int fd) { return [fd] { (void)adopt_fd(fd); }; };
  expect_error(ErrorCode::kInvalidArgument, "not a stream socket", adopt(-1));
  expect_error(ErrorCode::kInvalidArgument, "not a stream socket", adopt(file.get()));
  expect_error(ErrorCode::kInvalidArgument, "not a stream socket", adopt(datagram.get()));
  expect_error(ErrorCode::kInvalidArgument, "without a peer", adopt(unconnected.get()));
  expect_error(ErrorCode::kInvalidArgument, "without a peer", adopt(unconnected_tcp.get()));
  EXPECT_GE(::fcntl(file.get(), F_GETFD), 0) << "a refused descriptor stays the caller's";
}

}  // namespace
}  // namespace airlock::pair_test
