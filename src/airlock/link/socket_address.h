// Socket addresses: from a Uri to what the kernel wants, and back.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

#include "airlock/core/error.h"
#include "airlock/core/stop.h"
#include "airlock/link/fd.h"
#include "airlock/link/uri.h"

namespace airlock {

/// A socket address of any family with its length.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr* get() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage);
  }
  [[nodiscard]] int family() const noexcept { return storage.ss_family; }
  /// True for two IPv4 or two IPv6 addresses with equal host and port.
  [[nodiscard]] bool same_endpoint(const SocketAddress& other) const noexcept;
  /// True for 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104: only this machine reaches it.
  [[nodiscard]] bool is_loopback() const noexcept;
  /// True if a connection between the two IP addresses stays inside this machine.
  [[nodiscard]] bool same_machine(const SocketAddress& other) const noexcept;

 private:
  [[nodiscard]] bool same_host(const SocketAddress& other) const noexcept;
};

/// The address of a unix path or "@name". Throws kInvalidArgument if it does not fit.
[[nodiscard]] SocketAddress unix_address(const Uri& uri);
/// All addresses of a tcp host and port, in the order to try. `passive`: to listen on. Throws
/// Error(`code`) if the name is unknown. May ask a DNS server, which no StopToken ends.
[[nodiscard]] std::vector<SocketAddress> resolve(const Uri& uri, bool passive, ErrorCode code);

/// True if both addresses lead to one listener as far as this machine can tell: equal text, one
/// socket file (whatever the path to it, unix or shm), or a host that resolves to the same address
/// with the same port. False where a name cannot be resolved. May ask a DNS server as resolve.
[[nodiscard]] bool lead_to_one_listener(const Uri& a, const Uri& b);

/// The two ends of a socket. An empty address (family AF_UNSPEC) if the system knows none.
[[nodiscard]] SocketAddress local_address(int fd) noexcept;
[[nodiscard]] SocketAddress peer_address(int fd) noexcept;
/// A TCP address as a Uri with numeric host.
[[nodiscard]] Uri tcp_uri(const SocketAddress& address);

/// The user of the process at the other end of a unix socket: who connected, or who began to
/// listen. Nothing if the system does not say.
[[nodiscard]] std::optional<uid_t> user_of_peer(int fd) noexcept;
/// True if that is our user or root.
[[nodiscard]] bool is_our_user(int fd) noexcept;

/// A non-blocking, close-on-exec stream socket. Throws kResourceExhausted without descriptors.
[[nodiscard]] Fd open_socket(int family);

/// Waits for a connect() that is under way. Returns its errno, 0 if connected, ETIMEDOUT when
/// `limit` passed. Throws kInterrupted for `stop`.
[[nodiscard]] int finish_connect(int fd, std::optional<std::chrono::milliseconds> limit,
                                 const StopToken& stop);

}  // namespace airlock
