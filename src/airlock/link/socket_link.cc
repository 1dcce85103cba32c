#include "airlock/link/socket_link.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "airlock/link/scheme.h"
#include "airlock/link/socket_address.h"

namespace airlock {
namespace {

// Parts per system call; a frame has a handful (header, message, tensors, padding), and 32 iovecs
// are half a kilobyte of stack. More parts take more calls.
constexpr std::size_t kPartsPerCall = 32;

// A peer whose machine vanished is noticed after 60 + 6 * 10 s of silence, without any traffic of
// ours: a worker then frees what it held for it.
constexpr int kKeepAliveIdleSeconds = 60;
constexpr int kKeepAliveIntervalSeconds = 10;
constexpr int kKeepAliveProbes = 6;

constexpr const char* kClosedHere = "it was closed on this side";
constexpr const char* kClosedThere = "the peer closed it";

void set_option(int fd, int level, int name, int value) noexcept {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

// What the system refuses is left as it is: options affect speed only.
void set_options(int fd, Transport transport) noexcept {
  const bool tcp = transport == Transport::kTcp;
  if (!tcp) {
    set_option(fd, SOL_SOCKET, SO_SNDBUF, SocketLink::kUnixSendBuffer);
    return;
  }
  // Across a network the kernel fits the buffers to bandwidth times delay; ours would cap that.
  if (local_address(fd).same_machine(peer_address(fd))) {
    set_option(fd, SOL_SOCKET, SO_SNDBUF, SocketLink::kLoopbackSendBuffer);
  }
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}

LinkTraits traits_of(Transport transport, int fd, bool to_child) {
  LinkTraits traits = scheme_of(transport).traits;
  traits.same_machine = traits.same_machine || to_child;
  // A socket file may let in more users than the scheme speaks of.
  traits.private_to_user = traits.private_to_user && is_our_user(fd);
  return traits;
}

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

const char* reason_of(int error) {
  return error == EPIPE || error == ECONNRESET ? kClosedThere : std::strerror(error);
}

/// Room for one descriptor beside a message; cmsg(3).
class DescriptorSpace {
 public:
  /// Sends `descriptor` along with `message`.
  void attach(msghdr& message, int descriptor) noexcept {
    offer(message);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  /// Lets `message` receive one.
  void offer(msghdr& message) noexcept {
    message.msg_control = space_;
    message.msg_controllen = sizeof space_;
  }

 private:
  alignas(cmsghdr) std::byte space_[CMSG_SPACE(sizeof(int))] = {};
};

}  // namespace

SocketLink::SocketLink(Fd socket, Transport transport, std::string peer, const LinkOptions& options,
                       bool to_child)
    : LinkBase(transport, traits_of(transport, socket.get(), to_child), std::move(peer), options),
      socket_(std::move(socket)),
      spin_(options.spin.value_or(worth_spinning(usable_cores()))) {
  set_options(socket_.get(), transport);
}

SocketLink::~SocketLink() {
  // Closing a TCP socket with bytes unread resets the connection, which wakes a blocked peer.
  if (!closed_.exchange(true)) ::shutdown(socket_.get(), SHUT_RDWR);
}

void SocketLink::wait_to(const char* verb, short events, std::size_t left,
                         Patience& patience) const {
  const auto ready =
      patience.during([&](Limit limit) { return wait_for(socket_.get(), events, limit, stop()); });
  if (!ready) fail_stalled(verb, left);
}

bool SocketLink::spin(short events) const noexcept {
  return spin_ && spin_for(socket_.get(), events);
}

void SocketLink::send(std::span<const std::span<const std::byte>> parts) {
  send_parts(parts, -1);
}

void SocketLink::send_with_descriptor(std::span<const std::span<const std::byte>> parts,
                                      int descriptor) {
  if (!traits().shares_memory) Link::send_with_descriptor(parts, descriptor);
  send_parts(parts, descriptor);
}

// Calls that do not block, and a poll where they would, so that close() and a stop are seen at
// once. Blocking calls with a time limit, MSG_WAITALL, and a poll straight after a short transfer
// cost the same over unix sockets, within the noise, and blocking ones more over TCP.
void SocketLink::send_parts(std::span<const std::span<const std::byte>> parts, int descriptor) {
  PartCursor<const std::byte> cursor(parts);
  DescriptorSpace space;
  Patience patience = this->patience();
  while (!cursor.done()) {
    if (closed_) fail_lost("send", cursor.left(), kClosedHere);
    iovec vectors[kPartsPerCall];
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = cursor.fill(std::span<iovec>(vectors));
    if (descriptor >= 0) space.attach(message, descriptor);
    const ssize_t moved = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (moved >= 0) {
      descriptor = -1;
      count_sent(static_cast<std::size_t>(moved));
      cursor.advance(static_cast<std::size_t>(moved));
      patience.earn(static_cast<std::size_t>(moved));
    } else if (would_block(errno)) {
      wait_to("send", POLLOUT, cursor.left(), patience);
    } else if (errno != EINTR) {
      fail_lost("send", cursor.left(), closed_ ? kClosedHere : reason_of(errno));
    }
  }
}

void SocketLink::keep_descriptors(msghdr& message) {
  bool surplus = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof descriptor);
      Fd arrived(descriptor);
      const bool full = arrived_count_ == arrived_.size();
      surplus = surplus || full;
      if (!full) arrived_[arrived_count_++] = std::move(arrived);
    }
  }
  require(!surplus, ErrorCode::kProtocol,
          "{}: the peer sent more descriptors than anybody asked for, or than fit this process",
          peer());
}

Fd SocketLink::take_descriptor() {
  if (arrived_count_ == 0) return {};
  Fd oldest = std::move(arrived_.front());
  std::move(arrived_.begin() + 1, arrived_.begin() + static_cast<std::ptrdiff_t>(arrived_count_),
            arrived_.begin());
  --arrived_count_;
  return oldest;
}

void SocketLink::receive(std::span<const std::span<std::byte>> parts) {
  PartCursor<std::byte> cursor(parts);
  while (!cursor.done()) {
    if (take(cursor) == 0) fail_lost("receive", cursor.left(), kClosedThere);
  }
}

std::size_t SocketLink::receive_some(std::span<std::byte> into) {
  const std::span<std::byte> parts[] = {into};
  PartCursor<std::byte> cursor(parts);
  return take(cursor);
}

std::size_t SocketLink::take(PartCursor<std::byte>& cursor) {
  DescriptorSpace space;
  Patience& patience = receiving();
  while (true) {
    if (closed_) fail_lost("receive", cursor.left(), kClosedHere);
    iovec vectors[kPartsPerCall];
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = cursor.fill(std::span<iovec>(vectors));
    if (traits().shares_memory) space.offer(message);
    const ssize_t moved = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (moved > 0 && message.msg_controllen > 0) keep_descriptors(message);
    if (moved > 0) {
      count_received(static_cast<std::size_t>(moved));
      cursor.advance(static_cast<std::size_t>(moved));
      patience.earn(static_cast<std::size_t>(moved));
      return static_cast<std::size_t>(moved);
    }
    if (moved == 0) {
      if (closed_) fail_lost("receive", cursor.left(), kClosedHere);
      return 0;
    }
    if (would_block(errno)) {
      if (!spin(POLLIN)) wait_to("receive", POLLIN, cursor.left(), patience);
    } else if (errno != EINTR) {
      fail_lost("receive", cursor.left(), closed_ ? kClosedHere : reason_of(errno));
    }
  }
}

bool SocketLink::wait_readable(std::optional<std::chrono::milliseconds> timeout) {
  const Deadline deadline(timeout);
  receiving().renew();
  // The answer matters not: the wait below returns at once with what came.
  (void)spin(POLLIN | POLLRDHUP);
  while (!closed_) {
    if (!wait_for(socket_.get(), POLLIN | POLLRDHUP, deadline.left(), stop())) fail_silent(timeout);
    if (closed_) return false;
    // Only a look tells bytes from the end: TCP may report POLLIN for it before POLLRDHUP.
    std::byte first;
    const ssize_t seen = ::recv(socket_.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (seen >= 0) return seen > 0 && !closed_;
    if (!would_block(errno) && errno != EINTR) {
      if (closed_) return false;
      fail_lost("receive", 1, reason_of(errno));
    }
  }
  return false;
}

void SocketLink::close() noexcept {
  if (closed_.exchange(true)) return;
  if (transport() == Transport::kTcp) drain();
  ::shutdown(socket_.get(), SHUT_RDWR);
  // What came between the two may have shut the window again; the peer's next probe finds it open.
  if (transport() == Transport::kTcp) drain();
}

void SocketLink::drain() noexcept {
  // A peer that blocks in send because our receive buffer is full would never learn that we left:
  // its window must open, so that its next segment comes after the shutdown and is answered with a
  // reset. The window opens only by reading, and at once only before the shutdown. What the peer
  // sends meanwhile is read too; the bound keeps a fast one from holding us here.
  constexpr int kPieces = 512;
  std::array<std::byte, 65536> scrap;
  for (int i = 0; i < kPieces; ++i) {
    if (::recv(socket_.get(), scrap.data(), scrap.size(), MSG_DONTWAIT) <= 0) return;
  }
}

}  // namespace airlock
