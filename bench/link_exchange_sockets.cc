// Sockets between two processes: plain loops, and Airlock's Link over the same.
#include <cerrno>
#include <cstring>
#include <optional>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "airlock/link/pair.h"
#include "airlock/link/socket_link.h"

#include "bench/link_exchange.h"
#include "bench/peer_process.h"

namespace airlock {
namespace {

void check(bool ok, const char* what) {
  require(ok, ErrorCode::kInternal, "cannot {}: {}", what, std::strerror(errno));
}

std::pair<Fd, Fd> plain_pair(Transport transport) {
  int unix_ends[2];
  if (transport == Transport::kUnix) {
    check(::socketpair(AF_UNIX, SOCK_STREAM, 0, unix_ends) == 0, "open a socket pair");
    return {Fd(unix_ends[0]), Fd(unix_ends[1])};
  }
  sockaddr_in address{};
  socklen_t size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const Fd listener(::socket(AF_INET, SOCK_STREAM, 0));
  check(::bind(listener.get(), generic, size) == 0 && ::listen(listener.get(), 1) == 0 &&
            ::getsockname(listener.get(), generic, &size) == 0,
        "listen");
  Fd ours(::socket(AF_INET, SOCK_STREAM, 0));
  check(::connect(ours.get(), generic, size) == 0, "connect");
  Fd theirs(::accept(listener.get(), nullptr, nullptr));
  const int on = 1;
  for (const Fd* end : {&ours, &theirs}) {
    check(::setsockopt(end->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "set no delay");
  }
  return {std::move(ours), std::move(theirs)};
}

// False at the end of the stream.
bool plain_send(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t moved = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (moved <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(moved));
  }
  return true;
}

bool plain_receive(int fd, std::span<std::byte> into, int flags) {
  while (!into.empty()) {
    const ssize_t moved = ::recv(fd, into.data(), into.size(), flags);
    if (moved <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(moved));
  }
  return true;
}

/// What one would write without a thought for time limits, being stopped or a peer that goes
/// silent.
struct PlainLoop {
  Transport transport;
  int send_buffer;    ///< bytes; 0: the system's
  int receive_flags;  ///< MSG_WAITALL or 0
};

class Plain final : public Exchange {
 public:
  Plain(const PlainLoop& loop, std::size_t size) : flags_(loop.receive_flags) {
    auto [ours, theirs] = plain_pair(loop.transport);
    for (const Fd* end : {&ours, &theirs}) {
      if (loop.send_buffer == 0) continue;
      check(::setsockopt(end->get(), SOL_SOCKET, SO_SNDBUF, &loop.send_buffer, sizeof(int)) == 0,
            "set a send buffer");
    }
    peer_.emplace([&] {
      std::vector<std::byte> buffer(size, std::byte{1});
      while (plain_receive(theirs.get(), buffer, flags_) && plain_send(theirs.get(), buffer)) {
      }
    });
    socket_ = std::move(ours);
  }
  ~Plain() override { ::shutdown(socket_.get(), SHUT_RDWR); }

  void run(std::span<const std::byte> request, std::span<std::byte> reply) override {
    check(plain_send(socket_.get(), request) && plain_receive(socket_.get(), reply, flags_),
          "exchange");
  }

 private:
  const int flags_;
  Fd socket_;
  std::optional<PeerProcess> peer_;
};

class Linked final : public Exchange {
 public:
  Linked(Transport transport, const LinkOptions& options, std::size_t size)
      : pair_(make_pair(transport, options)) {
    peer_.emplace([&] {
      const auto link = adopt_fd(pair_.peer_fd.release(), false, options);
      std::vector<std::byte> buffer(size, std::byte{1});
      while (link->wait_readable(std::nullopt)) {
        link->receive(buffer);
        link->send(buffer);
      }
    });
    pair_.peer_fd.reset();
  }
  ~Linked() override { pair_.ours->close(); }

  void run(std::span<const std::byte> request, std::span<std::byte> reply) override {
    pair_.ours->send(request);
    pair_.ours->receive(reply);
  }

 private:
  LinkPair pair_;
  std::optional<PeerProcess> peer_;
};

template <Transport transport, int send_buffer, int receive_flags>
std::unique_ptr<Exchange> plain(std::size_t size) {
  return std::make_unique<Plain>(PlainLoop{transport, send_buffer, receive_flags}, size);
}

template <Transport transport, bool spin>
std::unique_ptr<Exchange> linked(std::size_t size) {
  LinkOptions options;
  if (spin) options.spin = true;
  return std::make_unique<Linked>(transport, options, size);
}

template <Transport transport>
void add(std::vector<Contestant>& all, const char* family, const char* spinning) {
  constexpr int kOurs =
      transport == Transport::kUnix ? SocketLink::kUnixSendBuffer : SocketLink::kLoopbackSendBuffer;
  all.push_back({family, "plain", true, plain<transport, 0, 0>});
  all.push_back({family, "plain, WAITALL", true, plain<transport, 0, MSG_WAITALL>});
  all.push_back({family, "plain, our buffers", true, plain<transport, kOurs, 0>});
  all.push_back({family, "plain, ours, WAITALL", true, plain<transport, kOurs, MSG_WAITALL>});
  all.push_back({family, family, false, linked<transport, false>});
  all.push_back({family, spinning, false, linked<transport, true>});
}

}  // namespace

std::vector<Contestant> socket_contestants() {
  std::vector<Contestant> all;
  add<Transport::kUnix>(all, "unix", "unix, spinning");
  add<Transport::kTcp>(all, "tcp", "tcp, spinning");
  return all;
}

}  // namespace airlock
