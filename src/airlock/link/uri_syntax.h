// What follows a scheme in a link's address: a name, a path, or a host and a port.
#pragma once

#include <string>
#include <string_view>

#include "airlock/link/uri.h"

namespace airlock {

/// The text of an address, taken apart at its first colon; all of it for messages.
struct UriText {
  std::string_view whole;
  std::string_view scheme;  ///< in lower case
  std::string_view rest;    ///< after the colon
};

/// One way to write an address.
struct UriSyntax {
  /// Fills the fields of `uri` but its transport. Throws as parse_uri says.
  void (*parse)(const UriText& text, Uri& uri);
  /// What follows the colon: text that parses to `uri`.
  std::string (*print)(const Uri& uri);
};

extern const UriSyntax kNameSyntax;  ///< NAME
extern const UriSyntax kPathSyntax;  ///< ///PATH or //@NAME
extern const UriSyntax kHostSyntax;  ///< //HOST:PORT

/// Throws Error(kInvalidArgument): "`TEXT`: WHAT".
[[noreturn]] void fail_uri(std::string_view text, std::string_view what);

}  // namespace airlock
