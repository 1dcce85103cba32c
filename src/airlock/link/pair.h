// Two ends that are connected from the start: for a worker that the runner starts itself.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <memory>
#include <utility>

#include "airlock/link/fd.h"
#include "airlock/link/link.h"
#include "airlock/link/link_options.h"
#include "airlock/link/uri.h"

namespace airlock {

/// Our end, and the descriptor that the child process adopts as its end. A child that forks without
/// exec must not destroy `ours`: that shuts down the connection which the parent shares.
struct LinkPair {
  std::unique_ptr<Link> ours;
  /// Closes on exec: see Fd::keep_on_exec. The parent resets it after the child was started, or the
  /// child's death would go unnoticed.
  Fd peer_fd;
};

/// kUnix, kShm: a socket pair. kTcp: a loopback connection whose listener took only our own and is
/// gone. `options` are of our end. Throws kUnsupported for kInproc (see make_inproc_pair) and kTls;
/// kResourceExhausted without descriptors; kInterrupted.
[[nodiscard]] LinkPair make_pair(Transport transport, const LinkOptions& options = {});

/// A Link over an inherited descriptor, which must be a connected unix or TCP stream socket; sets
/// close-on-exec and what a link wants of a socket. `share_memory`: over a unix socket, take
/// descriptors of shared memory as shm: does. Owns `fd` unless it throws kInvalidArgument.
[[nodiscard]] std::unique_ptr<Link> adopt_fd(int fd, bool share_memory = false,
                                             const LinkOptions& options = {});

/// Two ends in one process, for two threads. Small messages (64 KiB unread at most) are buffered;
/// what is larger is copied once, from the sender's memory into the receiver's.
[[nodiscard]] std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>> make_inproc_pair(
    const LinkOptions& first = {}, const LinkOptions& second = {});

}  // namespace airlock
