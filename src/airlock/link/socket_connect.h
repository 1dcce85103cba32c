// Sockets: what connect(), listen() and make_pair() do for unix, shm and tcp.
#pragma once

#include <memory>

#include "airlock/link/connect.h"
#include "airlock/link/pair.h"

namespace airlock {

/// connect() for Transport::kUnix and kShm, and for kTcp, unshaped. See connect.h.
[[nodiscard]] std::unique_ptr<Link> connect_unix(const Uri& uri, const LinkOptions& options);
[[nodiscard]] std::unique_ptr<Link> connect_tcp(const Uri& uri, const LinkOptions& options);

/// listen() for the same. See connect.h.
[[nodiscard]] std::unique_ptr<Listener> listen_unix(const Uri& uri, const LinkOptions& options);
[[nodiscard]] std::unique_ptr<Listener> listen_tcp(const Uri& uri, const LinkOptions& options);

/// make_pair() for the same, unshaped. See pair.h.
[[nodiscard]] LinkPair pair_unix(Transport transport, const LinkOptions& options);
[[nodiscard]] LinkPair pair_tcp(Transport transport, const LinkOptions& options);

}  // namespace airlock
