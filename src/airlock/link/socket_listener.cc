#include <atomic>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/log_limit.h"
#include "airlock/link/shaped_link.h"
#include "airlock/link/socket_address.h"
#include "airlock/link/socket_connect.h"
#include "airlock/link/socket_file.h"
#include "airlock/link/socket_link.h"
#include "airlock/link/wait.h"

namespace airlock {
namespace {

// As in socket_file.cc: more runners than start at one moment.
constexpr int kTcpBacklog = 128;
// Between attempts while the process has no descriptor left: the connection stays in the backlog.
constexpr std::chrono::milliseconds kShortagePause{100};

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

class SocketListener final : public Listener {
 public:
  SocketListener(Fd socket, Uri uri, SocketFile file, const LinkOptions& options)
      : socket_(std::move(socket)),
        uri_(std::move(uri)),
        options_(options),
        file_(std::move(file)) {}
  ~SocketListener() override { close(); }

  std::unique_ptr<Link> accept() override {
    while (!closed_) {
      (void)wait_for(socket_.get(), POLLIN, std::nullopt, options_.stop, ended_.fd());
      if (closed_) break;
      SocketAddress peer;
      Fd fd(::accept4(socket_.get(), peer.get(), &peer.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) {
        if (auto link = welcome(std::move(fd), peer)) return link;
      } else if (is_shortage(errno)) {
        log_limited(complaints_, LogLevel::kWarning, "{}: cannot take a connection now: {}",
                    uri_.to_string(), std::strerror(errno));
        (void)ended_.wait(kShortagePause, options_.stop);
      }
    }
    return nullptr;
  }

  const Uri& local_uri() const noexcept override { return uri_; }

  void close() noexcept override {
    if (closed_.exchange(true)) return;
    file_.remove();
    ::shutdown(socket_.get(), SHUT_RDWR);
    ended_.set();
  }

 private:
  std::unique_ptr<Link> welcome(Fd fd, const SocketAddress& peer) {
    const Transport transport = uri_.transport;
    const Uri name = transport == Transport::kTcp ? tcp_uri(peer) : uri_;
    auto link = std::make_unique<SocketLink>(std::move(fd), transport, name.to_string(), options_);
    if (!invites_others() && !link->traits().private_to_user) {
      log_limited(complaints_, LogLevel::kWarning, "{}: turned away a process of another user",
                  uri_.to_string());
      return nullptr;
    }
    return shape_as_asked(std::move(link), options_);
  }

  /// A socket file's mode may do so; TCP and its loopback do not know users.
  [[nodiscard]] bool invites_others() const noexcept {
    constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
    if (uri_.transport == Transport::kTcp) return true;
    return !uri_.path.starts_with('@') && (options_.socket_mode & kOthers) != 0;
  }

  const Fd socket_;
  const Uri uri_;
  const LinkOptions options_;
  SocketFile file_;
  Event ended_;
  LogLimit complaints_;
  std::atomic<bool> closed_{false};
};

[[noreturn]] void fail_to_listen(const Uri& uri, int error) {
  switch (error) {
    case EADDRINUSE:
      fail(ErrorCode::kAddressInUse,
           "{}: another process listens on that port; choose another, or 0 for any free one",
           uri.to_string());
    case EADDRNOTAVAIL:
      fail(ErrorCode::kInvalidArgument,
           "{}: `{}` is not an address of this machine; 0.0.0.0 or [::] stands for all of them",
           uri.to_string(), uri.host);
    case EACCES:
      fail(ErrorCode::kInvalidArgument,
           "{}: no permission for that port; ports from 1024 up need none", uri.to_string());
    default:
      fail(ErrorCode::kInvalidArgument, "{}: cannot listen: {}", uri.to_string(),
           std::strerror(error));
  }
}

// Returns 0 or an errno.
int try_listen(int fd, const SocketAddress& address) {
  const int on = 1;
  // Without it a restarted worker would wait a minute for its predecessor's connections to expire.
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool ok = ::bind(fd, address.get(), address.size) == 0 && ::listen(fd, kTcpBacklog) == 0;
  return ok ? 0 : errno;
}

}  // namespace

std::unique_ptr<Listener> listen_unix(const Uri& uri, const LinkOptions& options) {
  Fd fd = open_socket(AF_UNIX);
  SocketFile file = SocketFile::bind_and_listen(fd.get(), uri, options.socket_mode);
  return std::make_unique<SocketListener>(std::move(fd), uri, std::move(file), options);
}

std::unique_ptr<Listener> listen_tcp(const Uri& uri, const LinkOptions& options) {
  int error = EADDRNOTAVAIL;
  for (const SocketAddress& address : resolve(uri, true, ErrorCode::kInvalidArgument)) {
    Fd fd = open_socket(address.family());
    error = try_listen(fd.get(), address);
    if (error == EADDRINUSE) break;
    if (error != 0) continue;
    const SocketAddress bound = local_address(fd.get());
    Uri local = uri;
    local.port = tcp_uri(bound).port;
    if (!bound.is_loopback()) {
      log_warning(
          "{}: WARNING: other machines can connect, nobody is asked who they are, and nothing is "
          "encrypted; listen on 127.0.0.1 behind a tunnel, or see that a firewall is in front",
          local.to_string());
    }
    return std::make_unique<SocketListener>(std::move(fd), std::move(local), SocketFile(), options);
  }
  fail_to_listen(uri, error);
}

}  // namespace airlock
