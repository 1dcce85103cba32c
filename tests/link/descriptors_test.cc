// Descriptors that travel beside the bytes of a shm: link, asked for or not.
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/link/socket_link.h"

#include "tests/link/link_support.h"

namespace airlock::descriptors_test {
namespace {

/// A link and the bare socket of its peer.
struct Peer {
  explicit Peer(Transport transport) : pair(make_pair(transport)) {
    pair.ours->set_stall_timeout(kLong);
  }
  /// Sends `bytes` with copies of `files`, all in one message.
  void send(std::span<const std::byte> bytes, std::span<const int> files) const {
    iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
    std::vector<std::byte> space(CMSG_SPACE(files.size_bytes()));
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (!files.empty()) {
      message.msg_control = space.data();
      message.msg_controllen = space.size();
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(files.size_bytes());
      std::memcpy(CMSG_DATA(header), files.data(), files.size_bytes());
    }
    ASSERT_EQ(::sendmsg(pair.peer_fd.get(), &message, MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  Link& link() const { return *pair.ours; }
  LinkPair pair;
};

/// A descriptor that can be told from others.
class Files {
 public:
  explicit Files(int count) {
    for (int i = 0; i < count; ++i) {
      std::array<int, 2> ends{};
      EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
      kept_.emplace_back(ends[0]);
      kept_.emplace_back(ends[1]);
      numbers.push_back(ends[0]);
    }
  }
  std::vector<int> numbers;

 private:
  std::vector<Fd> kept_;
};

bool same_file(int a, int b) {
  struct stat first {
  }, second{};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_ino == second.st_ino;
}

TEST(Descriptors, ArriveWithTheirFirstByteInTheirOrderAndCloseOnExec) {
  const Files files(2);
  const Peer peer(Transport::kShm);
  const Bytes sent = pattern(100, 1);
  peer.send(sent, {});
  peer.send(sent, std::span(files.numbers).first(1));
  peer.send(sent, std::span(files.numbers).last(1));
  Bytes got(100);
  peer.link().receive(got);
  EXPECT_FALSE(peer.link().take_descriptor());
  Bytes byte(1);
  peer.link().receive(byte);
  const Fd first = peer.link().take_descriptor();
  ASSERT_TRUE(static_cast<bool>(first));
  EXPECT_TRUE(same_file(first.get(), files.numbers[0]));
  EXPECT_NE(::fcntl(first.get(), F_GETFD) & FD_CLOEXEC, 0);
  got.resize(199);
  peer.link().receive(got);
  EXPECT_TRUE(same_file(peer.link().take_descriptor().get(), files.numbers[1]));
  EXPECT_FALSE(peer.link().take_descriptor());
}

TEST(Descriptors, APeekDoesNotLoseOne) {
  const Files files(1);
  Peer peer(Transport::kShm);
  peer.send(pattern(10, 1), files.numbers);
  peer.pair.peer_fd.reset();  // the end makes waiting look at the bytes
  EXPECT_TRUE(peer.link().wait_readable(kLong));
  Bytes got(10);
  peer.link().receive(got);
  EXPECT_TRUE(static_cast<bool>(peer.link().take_descriptor()));
}

TEST(Descriptors, SeveralWithOneByteAreAnErrorOnceTheyAreMoreThanFit) {
  for (const int count : {3, 4, 5, 50, 253}) {
    const std::size_t before = open_descriptors();
    {
      const Files files(count);
      const Peer peer(Transport::kShm);
      peer.send(pattern(10, 1), files.numbers);
      Bytes got(10);
      expect_error(ErrorCode::kProtocol, "more descriptors than anybody asked for",
                   [&] { peer.link().receive(got); });
    }
    EXPECT_EQ(open_descriptors(), before) << count;
  }
}

TEST(Descriptors, OnesThatNobodyTakesAreAnErrorBeforeTheyAddUp) {
  const std::size_t before = open_descriptors();
  {
    const Files files(1);
    const Peer peer(Transport::kShm);
    const std::size_t idle = open_descriptors();
    expect_error(ErrorCode::kProtocol, "more descriptors", [&] {
      for (int i = 0; i < 100; ++i) {
        peer.send(pattern(10, 1), files.numbers);
        Bytes got(10);
        peer.link().receive(got);
      }
    });
    EXPECT_LE(open_descriptors(), idle + 4);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Descriptors, AreDroppedByALinkThatPassesNone) {
  const std::size_t before = open_descriptors();
  {
    const Files files(3);
    const Peer peer(Transport::kUnix);
    const std::size_t idle = open_descriptors();
    const Bytes sent = pattern(10, 1);
    for (int i = 0; i < 20; ++i) {
      peer.send(sent, files.numbers);
      Bytes got(10);
      peer.link().receive(got);
      EXPECT_EQ(got, sent);
      EXPECT_FALSE(peer.link().take_descriptor());
    }
    EXPECT_EQ(open_descriptors(), idle);
    const std::span<const std::byte> part(sent);
    expect_error(ErrorCode::kUnsupported, "no descriptors travel", [&] {
      peer.link().send_with_descriptor({&part, 1}, files.numbers[0]);
    });
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Descriptors, LeftUntakenAreClosedWithTheLink) {
  const Files files(2);
  const std::size_t before = open_descriptors();
  {
    const Peer peer(Transport::kShm);
    for (const int number : files.numbers) peer.send(pattern(10, 1), {&number, 1});
    Bytes got(20);
    peer.link().receive(got);
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace airlock::descriptors_test
