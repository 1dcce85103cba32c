// What can be relied on over a link: asked for in place of its kind.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

namespace airlock {

/// What one end knows of its link; false: it is not so, or this end cannot tell. Of a scheme (see
/// scheme.h): what all its links have in common.
struct LinkTraits {
  /// Both ends are threads of one process.
  bool same_process = false;
  /// Both ends run on this machine. Never told by a TCP address alone: behind one of this machine
  /// may be a tunnel.
  bool same_machine = false;
  /// Descriptors of memory travel along (Link::send_with_descriptor), for both ends to map.
  bool shares_memory = false;
  /// Bytes in shared memory take the time of bytes that travel (Link::carry_out): nothing is gained
  /// by them.
  bool slow_memory = false;
  /// Only processes of this user, and root, are at the other end or can read what travels.
  bool private_to_user = false;

  bool operator==(const LinkTraits&) const = default;
};

}  // namespace airlock
