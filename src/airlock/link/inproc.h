// Links between threads of one process: no socket, one copy, endpoints found by name.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "airlock/link/connect.h"

namespace airlock {

/// A connected pair, unshaped; `name` is both ends' peer text. Throws kResourceExhausted.
[[nodiscard]] std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>> make_inproc_links(
    const std::string& name, const LinkOptions& first, const LinkOptions& second);

/// connect(), unshaped, and listen() for Transport::kInproc. See connect.h.
[[nodiscard]] std::unique_ptr<Link> connect_inproc(const Uri& uri, const LinkOptions& options);
[[nodiscard]] std::unique_ptr<Listener> listen_inproc(const Uri& uri, const LinkOptions& options);

}  // namespace airlock
