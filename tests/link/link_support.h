// What the link tests share: connected ends of every kind, error capture, a folder of their own.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/stop.h"
#include "airlock/link/connect.h"
#include "airlock/link/pair.h"
#include "airlock/link/scheme.h"
#include "airlock/link/shaped_link.h"

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace airlock {

inline constexpr std::chrono::milliseconds kShort{50};
inline constexpr std::chrono::milliseconds kLong{20000};

using Bytes = std::vector<std::byte>;
using LinkEnds = std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>>;

/// A thread that is joined at the end of its scope. (Under a sanitizer GCC 12 warns, wrongly, of
/// uninitialised memory inside std::jthread.)
class Background {
 public:
  template <typename Action>
  explicit Background(Action action) : thread_(std::move(action)) {}
  Background(Background&&) noexcept = default;
  ~Background() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
};

/// Bytes that differ at every offset a lost, doubled or swapped chunk could have.
inline Bytes pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

/// A folder for socket files.
class TempFolder : public testing::TempDir {
 public:
  [[nodiscard]] std::string file(const std::string& name) const { return (path() / name).string(); }
  [[nodiscard]] Uri socket(const std::string& name) const {
    return {Transport::kUnix, file(name), "", 0};
  }
};

inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Connects, for a test that would rather fail than hang.
inline std::unique_ptr<Link> dial(const Uri& uri, LinkOptions options = {}) {
  options.connect_timeout = kLong;
  return connect(uri, options);
}

inline LinkEnds connected_through(Listener& listener, const LinkOptions& options = {}) {
  auto dialled = dial(listener.local_uri(), options);
  return {std::move(dialled), listener.accept()};
}

inline LinkEnds connected_at(const Uri& uri, const LinkOptions& first = {},
                             const LinkOptions& second = {}) {
  const auto listener = listen(uri, second);
  return connected_through(*listener, first);
}

inline LinkEnds inherited(Transport transport, const LinkOptions& first = {},
                          const LinkOptions& second = {}) {
  LinkPair pair = make_pair(transport, first);
  const bool shares = transport == Transport::kShm;
  return {std::move(pair.ours), adopt_fd(pair.peer_fd.release(), shares, second)};
}

/// A way to get two connected ends, with a name for the test's title.
struct LinkKind {
  std::string name;
  std::function<LinkEnds(const LinkOptions& first, const LinkOptions& second)> open;
  LinkTraits first;
  LinkTraits second;
  [[nodiscard]] LinkEnds make() const { return open({}, {}); }
};

/// The same with both ends spinning, whatever the machine's cores.
inline LinkKind spinning(LinkKind kind) {
  kind.name += "Spinning";
  kind.open = [open = std::move(kind.open)](LinkOptions first, LinkOptions second) {
    first.spin = second.spin = true;
    return open(first, second);
  };
  return kind;
}

/// Two ends at once, as a child process inherits the second.
inline LinkKind pair_kind(const std::string& name, Transport transport) {
  LinkKind kind{name,
                [transport](const LinkOptions& first, const LinkOptions& second) {
                  return inherited(transport, first, second);
                },
                scheme_of(transport).traits, scheme_of(transport).traits};
  // Only who made the pair knows that it stays on this machine.
  kind.first.same_machine = true;
  return kind;
}

/// One end dials what `address` gives, the other takes it.
inline LinkKind address_kind(const std::string& name, const std::string& address) {
  const LinkTraits traits = scheme_of(parse_uri(address).transport).traits;
  return {name,
          [address](const LinkOptions& first, const LinkOptions& second) {
            return connected_at(parse_uri(address), first, second);
          },
          traits, traits};
}

/// The same in a folder of its own.
inline LinkKind path_kind(const std::string& name, Transport transport) {
  LinkKind kind = address_kind(name, std::string(transport_name(transport)) + ":///s");
  kind.open = [transport](const LinkOptions& first, const LinkOptions& second) {
    const TempFolder folder;
    return connected_at({transport, folder.file("s"), "", 0}, first, second);
  };
  return kind;
}

inline std::vector<LinkKind> link_kinds() {
  const LinkTraits inproc = scheme_of(Transport::kInproc).traits;
  return {
      {"InprocPair",
       [](const LinkOptions& first, const LinkOptions& second) {
         return make_inproc_pair(first, second);
       },
       inproc, inproc},
      address_kind("InprocNamed", "inproc:kinds"),
      pair_kind("UnixPair", Transport::kUnix),
      path_kind("UnixPath", Transport::kUnix),
      pair_kind("ShmPair", Transport::kShm),
      path_kind("ShmPath", Transport::kShm),
      pair_kind("TcpPair", Transport::kTcp),
      address_kind("TcpPort", "tcp://127.0.0.1:0"),
      spinning(pair_kind("UnixPair", Transport::kUnix)),
      spinning(pair_kind("TcpPair", Transport::kTcp)),
  };
}

/// The same, with the first end shaped: much faster than anything that is tested.
inline std::vector<LinkKind> shaped_link_kinds() {
  std::vector<LinkKind> kinds = link_kinds();
  for (LinkKind& kind : kinds) {
    kind.open = [open = std::move(kind.open)](LinkOptions first, const LinkOptions& second) {
      first.shape = {1e12, 0.01};
      return open(first, second);
    };
    kind.first.slow_memory = true;
  }
  return kinds;
}

}  // namespace airlock
