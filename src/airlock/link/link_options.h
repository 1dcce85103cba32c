// How to open a link: one struct for every kind.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <chrono>
#include <optional>

#include <sys/types.h>

#include "airlock/core/stop.h"
#include "airlock/link/link_shape.h"

namespace airlock {

/// Taken by whatever makes a Link or a Listener, which gives it to the links it accepts. A kind
/// ignores what does not concern it. What a further kind needs, credentials above all, is a member
/// here: whoever opens links passes them on without knowing the kind.
struct LinkOptions {
  /// connect(): limit of the whole call, except for name resolution by a DNS server; 0: none.
  std::chrono::milliseconds connect_timeout{0};
  /// See Link::set_stall_timeout, which changes it; 0: without limit.
  std::chrono::milliseconds stall_timeout{0};
  /// See Link::set_least_rate, which changes it; bytes a second, 0: none.
  double least_rate = 0;
  /// Makes this end behave like a slower link: see shaped_link.h.
  std::optional<LinkShape> shape = {};
  /// Whether receive and wait_readable, before they sleep, ask for up to 20 us whether something
  /// arrived: a sleep and a wake-up can take longer than the peer's answer. Without a value: if
  /// this process may run on 8 cores or more; on fewer, who spins takes a core from who answers.
  std::optional<bool> spin = {};
  /// listen() on a unix path: the socket file's mode, 0600 to 0666, less the process's umask. Wider
  /// than 0600 lets other users connect; with 0600 they are turned away even if the file's mode is
  /// widened later.
  mode_t socket_mode = 0600;
  /// connect() to a unix path: a user, besides ours and root, whose socket it may be. Whoever may
  /// write its folder could have put one there; without a value such a stranger's is refused.
  std::optional<uid_t> peer_user = {};
  /// Ends every wait with Error(kInterrupted), at once.
  StopToken stop = {};
};

/// Throws Error(kInvalidArgument) for a shape or a mode out of range.
void check_link_options(const LinkOptions& options);

}  // namespace airlock
