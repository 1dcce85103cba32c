#include "airlock/link/socket_address.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include <netdb.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "airlock/link/wait.h"

namespace airlock {

bool SocketAddress::same_endpoint(const SocketAddress& other) const noexcept {
  // sockaddr_in6 has its port where sockaddr_in has it.
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  const auto& a = reinterpret_cast<const sockaddr_in&>(storage);
  const auto& b = reinterpret_cast<const sockaddr_in&>(other.storage);
  return same_host(other) && a.sin_port == b.sin_port;
}

bool SocketAddress::is_loopback() const noexcept {
  if (family() == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
    return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  }
  if (family() != AF_INET6) return false;
  const in6_addr& in6 = reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&in6) ||
         (IN6_IS_ADDR_V4MAPPED(&in6) && in6.s6_addr[12] == IN_LOOPBACKNET);
}

bool SocketAddress::same_machine(const SocketAddress& other) const noexcept {
  return (family() == AF_INET && is_loopback()) || same_host(other);
}

bool SocketAddress::same_host(const SocketAddress& other) const noexcept {
  if (family() != other.family()) return false;
  if (family() == AF_INET) {
    const auto& a = reinterpret_cast<const sockaddr_in&>(storage);
    const auto& b = reinterpret_cast<const sockaddr_in&>(other.storage);
    return a.sin_addr.s_addr == b.sin_addr.s_addr;
  }
  if (family() != AF_INET6) return false;
  const auto& a = reinterpret_cast<const sockaddr_in6&>(storage);
  const auto& b = reinterpret_cast<const sockaddr_in6&>(other.storage);
  return IN6_ARE_ADDR_EQUAL(&a.sin6_addr, &b.sin6_addr);
}

SocketAddress unix_address(const Uri& uri) {
  SocketAddress address;
  auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
  const bool abstract = uri.path.starts_with('@');
  const std::size_t limit = sizeof un.sun_path - (abstract ? 0 : 1);
  require(
      uri.path.size() > 1 && uri.path.size() <= limit && uri.path.find('\0') == std::string::npos,
      ErrorCode::kInvalidArgument, "{}: a socket's path has 2 to {} bytes, none of them NUL",
      uri.to_string(), limit);
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, uri.path.data(), uri.path.size());
  if (abstract) un.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + uri.path.size() +
                                        (abstract ? 0 : 1));
  return address;
}

std::vector<SocketAddress> resolve(const Uri& uri, bool passive, ErrorCode code) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  const int error =
      ::getaddrinfo(uri.host.c_str(), std::to_string(uri.port).c_str(), &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  require(error == 0, code, "{}: the host name `{}` cannot be resolved: {}", uri.to_string(),
          uri.host, error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error));
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    SocketAddress& address = addresses.emplace_back();
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
  }
  return addresses;
}

bool lead_to_one_listener(const Uri& a, const Uri& b) {
  const auto is_file = [](const Uri& uri) {
    return uri.transport == Transport::kUnix || uri.transport == Transport::kShm;
  };
  const auto is_host = [](const Uri& uri) {
    return uri.transport == Transport::kTcp || uri.transport == Transport::kTls;
  };
  if (a == b) return true;
  if (is_file(a) && is_file(b)) {
    if (a.path == b.path) return true;
    if (a.path.starts_with('@') || b.path.starts_with('@')) return false;
    struct stat first {};
    struct stat second {};
    return ::stat(a.path.c_str(), &first) == 0 && ::stat(b.path.c_str(), &second) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
  }
  if (!is_host(a) || !is_host(b) || a.port != b.port) return false;
  try {
    const auto ours = resolve(a, false, ErrorCode::kNotFound);
    const auto theirs = resolve(b, false, ErrorCode::kNotFound);
    return std::ranges::any_of(ours, [&](const SocketAddress& one) {
      return std::ranges::any_of(
          theirs, [&](const SocketAddress& other) { return one.same_endpoint(other); });
    });
  } catch (const Error&) {  // who connects says so
    return false;
  }
}

SocketAddress local_address(int fd) noexcept {
  SocketAddress address;
  if (::getsockname(fd, address.get(), &address.size) != 0) return {};
  return address;
}

SocketAddress peer_address(int fd) noexcept {
  SocketAddress address;
  if (::getpeername(fd, address.get(), &address.size) != 0) return {};
  return address;
}

Uri tcp_uri(const SocketAddress& address) {
  char host[NI_MAXHOST] = "?";
  char port[NI_MAXSERV] = "0";
  (void)::getnameinfo(address.get(), address.size, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
  return {Transport::kTcp, "", host, static_cast<std::uint16_t>(std::stoul(port))};
}

std::optional<uid_t> user_of_peer(int fd) noexcept {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}

bool is_our_user(int fd) noexcept {
  const std::optional<uid_t> user = user_of_peer(fd);
  return user == ::geteuid() || user == uid_t{0};
}

Fd open_socket(int family) {
  Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd) return fd;
  const int error = errno;
  fail(error == EAFNOSUPPORT ? ErrorCode::kUnsupported : ErrorCode::kResourceExhausted,
       "cannot open a socket: {}", std::strerror(error));
}

int finish_connect(int fd, std::optional<std::chrono::milliseconds> limit, const StopToken& stop) {
  if (!wait_for(fd, POLLOUT, limit, stop)) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

}  // namespace airlock
