// Connecting and listening over sockets: what connect() and listen() do for unix and tcp.
#pragma once

#include <chrono>
#include <memory>

#include "airlock/link/connect.h"

namespace airlock {

/// connect() for Transport::kUnix and kShm, and for kTcp. See connect.h.
[[nodiscard]] std::unique_ptr<Link> connect_unix(const Uri& uri, std::chrono::milliseconds timeout);
[[nodiscard]] std::unique_ptr<Link> connect_tcp(const Uri& uri, std::chrono::milliseconds timeout);

/// listen() for Transport::kUnix and kShm, and for kTcp. See connect.h.
[[nodiscard]] std::unique_ptr<Listener> listen_unix(const Uri& uri);
[[nodiscard]] std::unique_ptr<Listener> listen_tcp(const Uri& uri);

}  // namespace airlock
