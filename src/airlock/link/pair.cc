#include "airlock/link/pair.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "airlock/core/error.h"
#include "airlock/link/scheme.h"
#include "airlock/link/shaped_link.h"
#include "airlock/link/socket_address.h"
#include "airlock/link/socket_connect.h"
#include "airlock/link/socket_link.h"
#include "airlock/link/wait.h"

namespace airlock {
namespace {

// A loopback handshake takes microseconds; this bounds a machine whose firewall drops it.
constexpr std::chrono::milliseconds kHandshakeLimit{5000};

void check_system(bool ok, const char* what) {
  if (!ok) fail(ErrorCode::kResourceExhausted, "cannot {}: {}", what, std::strerror(errno));
}

std::array<Fd, 2> connected_unix() {
  int fds[2];
  check_system(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0,
               "open a socket pair");
  return {Fd(fds[0]), Fd(fds[1])};
}

std::array<Fd, 2> connected_tcp(const StopToken& stop) {
  const Fd listener = open_socket(AF_INET);
  SocketAddress address;
  auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.size = sizeof in;
  check_system(
      ::bind(listener.get(), address.get(), address.size) == 0 && ::listen(listener.get(), 8) == 0,
      "listen on the loopback address");
  address = local_address(listener.get());
  Fd ours = open_socket(AF_INET);
  int error = ::connect(ours.get(), address.get(), address.size) == 0 ? 0 : errno;
  if (error == EINPROGRESS || error == EINTR) {
    error = finish_connect(ours.get(), kHandshakeLimit, stop);
  }
  require(error == 0, ErrorCode::kConnectionRefused, "cannot connect over the loopback address: {}",
          std::strerror(error));
  const SocketAddress our_address = local_address(ours.get());
  const Deadline deadline(kHandshakeLimit);
  while (wait_for(listener.get(), POLLIN, deadline.left(), stop)) {
    SocketAddress peer;
    Fd theirs(::accept4(listener.get(), peer.get(), &peer.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    // Any process of this machine can reach the port while it is open; only our own is taken.
    if (theirs && peer.same_endpoint(our_address)) return {std::move(ours), std::move(theirs)};
  }
  fail(ErrorCode::kTimeout, "no connection over the loopback address within {} ms",
       kHandshakeLimit.count());
}

}  // namespace

LinkPair pair_unix(Transport transport, const LinkOptions& options) {
  auto [ours, theirs] = connected_unix();
  return {
      std::make_unique<SocketLink>(std::move(ours), transport, "unix socket pair", options, true),
      std::move(theirs)};
}

LinkPair pair_tcp(Transport transport, const LinkOptions& options) {
  auto [ours, theirs] = connected_tcp(options.stop);
  return {
      std::make_unique<SocketLink>(std::move(ours), transport, "tcp loopback pair", options, true),
      std::move(theirs)};
}

LinkPair make_pair(Transport transport, const LinkOptions& options) {
  const LinkScheme& scheme = scheme_of(transport);
  if (scheme.pair == nullptr) {
    fail(ErrorCode::kUnsupported,
         "cannot make a connected pair of kind {} for a child process; use {}", scheme.name,
         list_schemes(&LinkScheme::name,
                      [](const LinkScheme& other) { return other.pair != nullptr; }));
  }
  check_link_options(options);
  LinkPair pair = scheme.pair(transport, options);
  pair.ours = shape_as_asked(std::move(pair.ours), options);
  return pair;
}

std::unique_ptr<Link> adopt_fd(int fd, bool share_memory, const LinkOptions& options) {
  check_link_options(options);
  int type = 0;
  socklen_t size = sizeof type;
  require(::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM,
          ErrorCode::kInvalidArgument, "descriptor {} is not a stream socket", fd);
  const SocketAddress peer = peer_address(fd);
  const int family = local_address(fd).family();
  require(family == AF_UNIX || family == AF_INET || family == AF_INET6, ErrorCode::kInvalidArgument,
          "descriptor {} is neither a unix nor a TCP socket", fd);
  require(peer.family() != AF_UNSPEC, ErrorCode::kInvalidArgument,
          "descriptor {} is a socket without a peer: not connected, or closed at the other end",
          fd);
  const int flags = ::fcntl(fd, F_GETFD);
  require_system(flags >= 0 && ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0,
                 ErrorCode::kInvalidArgument, "descriptor {} cannot be set to close on exec", fd);
  Transport transport = share_memory ? Transport::kShm : Transport::kUnix;
  std::string name = "unix socket pair";
  if (family != AF_UNIX) {
    transport = Transport::kTcp;
    name = tcp_uri(peer).to_string();
  }
  return shape_as_asked(std::make_unique<SocketLink>(Fd(fd), transport, std::move(name), options),
                        options);
}

}  // namespace airlock
