#include "airlock/link/socket_connect.h"

#include <cerrno>
#include <cstring>

#include <sys/socket.h>

#include "airlock/core/error.h"
#include "airlock/link/socket_address.h"
#include "airlock/link/socket_link.h"
#include "airlock/link/wait.h"

namespace airlock {
namespace {

// Between attempts while a unix listener's backlog is full; nothing can be polled for that.
constexpr std::chrono::milliseconds kRetryPause{5};

[[noreturn]] void fail_to_connect(const Uri& uri, int error, std::chrono::milliseconds timeout) {
  const std::string name = uri.to_string();
  switch (error) {
    case ETIMEDOUT:
      if (timeout.count() <= 0) fail(ErrorCode::kTimeout, "{}: no answer", name);
      fail(ErrorCode::kTimeout, "{}: no connection within {} ms", name, timeout.count());
    case ECONNREFUSED:
    case ENOENT:
      fail(ErrorCode::kConnectionRefused,
           "{}: nobody listens there; start a worker with `airlock worker -m DIR --listen {}`, or "
           "check the address",
           name, name);
    case EACCES:
    case EPERM:
      fail(ErrorCode::kConnectionRefused,
           "{}: no permission to connect; a worker takes connections of its own user only", name);
    case EPROTOTYPE:
      fail(ErrorCode::kConnectionRefused, "{}: a socket of another kind (not a stream)", name);
    default:
      fail(ErrorCode::kConnectionRefused, "{}: {}", name, std::strerror(error));
  }
}

// A socket in a folder that others may write (as the one for temporary files) can be anybody's.
void refuse_strangers(int fd, const Uri& uri, const LinkOptions& options) {
  if (is_our_user(fd)) return;
  const std::optional<uid_t> user = user_of_peer(fd);
  require(user.has_value(), ErrorCode::kConnectionRefused, "{}: cannot tell whose socket it is",
          uri.to_string());
  require(user == options.peer_user, ErrorCode::kConnectionRefused,
          "{}: the socket belongs to user {}, neither you nor root, who may have put it there to "
          "read along; if that is who runs the worker, say so (--worker-user {})",
          uri.to_string(), *user, *user);
}

// One attempt; returns 0 or an errno.
int try_tcp(int fd, const SocketAddress& address, Limit limit, const StopToken& stop) {
  int error = ::connect(fd, address.get(), address.size) == 0 ? 0 : errno;
  if (error == EINPROGRESS || error == EINTR) error = finish_connect(fd, limit, stop);
  // A free port of this machine can be chosen as our own port too: TCP then connects us to us.
  if (error == 0 && local_address(fd).same_endpoint(peer_address(fd))) error = ECONNREFUSED;
  return error;
}

}  // namespace

std::unique_ptr<Link> connect_unix(const Uri& uri, const LinkOptions& options) {
  const std::chrono::milliseconds timeout = options.connect_timeout;
  const SocketAddress address = unix_address(uri);
  const Deadline deadline(limit_of(timeout));
  Fd fd = open_socket(AF_UNIX);
  while (::connect(fd.get(), address.get(), address.size) != 0) {
    const int error = errno;
    if (error != EAGAIN && error != EINTR) fail_to_connect(uri, error, timeout);
    if (deadline.left() == std::chrono::milliseconds(0)) fail_to_connect(uri, ETIMEDOUT, timeout);
    (void)wait_for(-1, 0, kRetryPause, options.stop);
  }
  refuse_strangers(fd.get(), uri, options);
  return std::make_unique<SocketLink>(std::move(fd), uri.transport, uri.to_string(), options);
}

std::unique_ptr<Link> connect_tcp(const Uri& uri, const LinkOptions& options) {
  const std::chrono::milliseconds timeout = options.connect_timeout;
  require(uri.port != 0, ErrorCode::kInvalidArgument, "{}: connecting needs a port other than 0",
          uri.to_string());
  const Deadline deadline(limit_of(timeout));
  const auto addresses = resolve(uri, false, ErrorCode::kConnectionRefused);
  int error = ECONNREFUSED;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // Equal shares of what is left, so that one dead address leaves time for the others.
    Limit share = deadline.left();
    if (share) *share /= static_cast<std::int64_t>(addresses.size() - i);
    Fd fd = open_socket(addresses[i].family());
    error = try_tcp(fd.get(), addresses[i], share, options.stop);
    if (error == 0) {
      return std::make_unique<SocketLink>(std::move(fd), uri.transport, uri.to_string(), options);
    }
  }
  fail_to_connect(uri, error, timeout);
}

}  // namespace airlock
