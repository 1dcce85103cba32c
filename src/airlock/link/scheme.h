// The kinds of links, a row each: what a Uri's scheme stands for.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "airlock/link/connect.h"
#include "airlock/link/link_traits.h"
#include "airlock/link/pair.h"
#include "airlock/link/uri.h"
#include "airlock/link/uri_syntax.h"

namespace airlock {

/// All that is asked of a kind. A new one is a value of Transport and a row of the table in
/// scheme.cc. The functions are called through connect(), listen() and make_pair(), which say what
/// they do; null: the kind has nothing of the sort.
struct LinkScheme {
  Transport transport;
  std::string_view name;     ///< before the colon, and in ledgers
  std::string_view form;     ///< of its addresses, for messages: "tcp://HOST:PORT"
  const UriSyntax& address;  ///< what follows the colon
  LinkTraits traits;
  std::unique_ptr<Link> (*connect)(const Uri& uri, const LinkOptions& options);
  std::unique_ptr<Listener> (*listen)(const Uri& uri, const LinkOptions& options);
  LinkPair (*pair)(Transport transport, const LinkOptions& options);
};

/// Every kind, in the order in which messages list them.
[[nodiscard]] std::span<const LinkScheme> link_schemes() noexcept;
/// The row of `transport`, one of Transport's values.
[[nodiscard]] const LinkScheme& scheme_of(Transport transport);
/// "unix, shm or tcp": a field of all rows for which `listed` is true.
[[nodiscard]] std::string list_schemes(std::string_view LinkScheme::*field,
                                       bool (*listed)(const LinkScheme&));

}  // namespace airlock
