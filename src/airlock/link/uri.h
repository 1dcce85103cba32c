// Where a peer is: the text after --worker and --listen, taken apart and checked.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace airlock {

/// How bytes travel. kShm is a unix socket whose ends also share memory. kTls parses, but connect,
/// listen and make_pair refuse it for now.
enum class Transport : unsigned char { kInproc, kUnix, kTcp, kShm, kTls };

/// The scheme's name: "inproc", "unix", "tcp", "shm" or "tls".
[[nodiscard]] std::string_view transport_name(Transport transport) noexcept;

/// A parsed address. Only the fields of its transport are set.
struct Uri {
  Transport transport = Transport::kInproc;
  /// inproc: the endpoint's name, may be empty. unix, shm: an absolute path, or "@name" for a name
  /// in Linux's abstract namespace (no file).
  std::string path;
  /// tcp, tls: a name or a numeric address, IPv6 without its brackets.
  std::string host;
  /// tcp, tls: 0 means "any free port" to listen() and is refused by connect().
  std::uint16_t port = 0;

  /// The text that parses to this value.
  [[nodiscard]] std::string to_string() const;
  bool operator==(const Uri&) const = default;
};

/// Parses `inproc:`, `inproc:NAME`, `unix:///PATH`, `unix://@NAME`, `shm:///PATH`,
/// `tcp://HOST:PORT` and `tls://HOST:PORT` (HOST a name, IPv4 or [IPv6]). Nothing is
/// percent-decoded. Throws Error(kInvalidArgument) that says what is wrong with the text, with a
/// suggestion where one is near; a path longer than a socket address holds (107 bytes) is refused.
[[nodiscard]] Uri parse_uri(std::string_view text);

}  // namespace airlock
