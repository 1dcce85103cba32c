#include "airlock/link/connect.h"

#include "airlock/core/error.h"
#include "airlock/link/scheme.h"
#include "airlock/link/shaped_link.h"

namespace airlock {
namespace {

/// The row of `uri`, which has to be built in.
const LinkScheme& built_in(const Uri& uri) {
  const LinkScheme& scheme = scheme_of(uri.transport);
  if (scheme.connect != nullptr) return scheme;
  fail(ErrorCode::kUnsupported, "{}: {} links are not built in yet; use {}", uri.to_string(),
       scheme.name, list_schemes(&LinkScheme::form, [](const LinkScheme& other) {
         return other.connect != nullptr;
       }));
}

}  // namespace

std::unique_ptr<Link> connect(const Uri& uri, const LinkOptions& options) {
  check_link_options(options);
  options.stop.throw_if_stopped();
  return shape_as_asked(built_in(uri).connect(uri, options), options);
}

std::unique_ptr<Listener> listen(const Uri& uri, const LinkOptions& options) {
  check_link_options(options);
  return built_in(uri).listen(uri, options);
}

}  // namespace airlock
