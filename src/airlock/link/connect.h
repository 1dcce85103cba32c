// From an address to a Link: dialling one side, listening on the other.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <memory>

#include "airlock/link/link.h"
#include "airlock/link/link_options.h"
#include "airlock/link/uri.h"

namespace airlock {

/// Connects to whoever listens on `uri`. Thread-safe. Throws kConnectionRefused (nobody listens,
/// unreachable, not permitted, name unknown), kTimeout, kInterrupted, kInvalidArgument (port 0, or
/// as check_link_options), kUnsupported (tls).
[[nodiscard]] std::unique_ptr<Link> connect(const Uri& uri, const LinkOptions& options = {});

/// Takes connections on one address until closed.
/// Thread-safety: several threads may accept(); close() may be called from any thread. The
/// destructor closes; no accept() may be under way then.
class Listener {
 public:
  virtual ~Listener() = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// The next connection, with the listener's options; blocks. nullptr after close(). Throws
  /// kInterrupted. Shortage of descriptors is waited out with a warning; a peer that vanished
  /// before it was taken is skipped.
  [[nodiscard]] virtual std::unique_ptr<Link> accept() = 0;
  /// The address peers connect to: with the real port where port 0 was asked for.
  [[nodiscard]] virtual const Uri& local_uri() const noexcept = 0;
  /// Stops listening: accept() returns nullptr, new peers are refused, the socket file is removed
  /// if it is still ours. A TCP port is free again once the listener is destroyed.
  virtual void close() noexcept = 0;

 protected:
  Listener() = default;
};

/// Listens on `uri`. A unix socket never has a wider mode than the options say; a socket file that
/// nobody listens on any more is replaced; a file that is not a socket is never touched. Peers on
/// an abstract unix name must run as our user (or root), as nothing else guards it. Throws
/// kAddressInUse, kInvalidArgument (not a socket, no such directory, not an address of this
/// machine, port not permitted, or as check_link_options), kUnsupported (tls).
[[nodiscard]] std::unique_ptr<Listener> listen(const Uri& uri, const LinkOptions& options = {});

}  // namespace airlock
