// Connected pairs of links, for tests that play both ends.
#pragma once

#include <memory>
#include <utility>

#include "airlock/link/pair.h"

namespace airlock::testing {

using Ends = std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>>;

/// Two ends in this process: of an inproc link, or of a socket pair. `first` is of the first.
inline Ends make_ends(Transport transport, const LinkOptions& first = {}) {
  if (transport == Transport::kInproc) return make_inproc_pair(first);
  LinkPair pair = make_pair(transport, first);
  return {std::move(pair.ours), adopt_fd(pair.peer_fd.release(), transport == Transport::kShm)};
}

}  // namespace airlock::testing
