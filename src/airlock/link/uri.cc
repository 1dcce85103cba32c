#include "airlock/link/uri.h"

#include <algorithm>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/link/scheme.h"

namespace airlock {
namespace {

std::string expected_forms() {
  return "expected " + list_schemes(&LinkScheme::form, [](const LinkScheme&) { return true; });
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::vector<std::string_view> names() {
  std::vector<std::string_view> all;
  for (const LinkScheme& scheme : link_schemes()) all.push_back(scheme.name);
  return all;
}

}  // namespace

std::string_view transport_name(Transport transport) noexcept {
  for (const LinkScheme& scheme : link_schemes()) {
    if (scheme.transport == transport) return scheme.name;
  }
  return "unknown";
}

std::string Uri::to_string() const {
  const LinkScheme& scheme = scheme_of(transport);
  return fmt::format("{}:{}", scheme.name, scheme.address.print(*this));
}

Uri parse_uri(std::string_view text) {
  require(!text.empty(), ErrorCode::kInvalidArgument, "the link's address is empty; {}",
          expected_forms());
  require(std::ranges::none_of(text, is_control), ErrorCode::kInvalidArgument,
          "the link's address contains a control character; {}", expected_forms());
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    if (text.starts_with('/')) fail_uri(text, fmt::format("did you mean `unix://{}`?", text));
    fail_uri(text, "no scheme; " + expected_forms());
  }
  const std::string name = lower(text.substr(0, colon));
  const auto scheme = std::ranges::find(link_schemes(), name, &LinkScheme::name);
  if (scheme == link_schemes().end()) {
    fail_uri(text, fmt::format("unknown link `{}`{}; {}", text.substr(0, colon),
                               suggest(name, names()), expected_forms()));
  }
  Uri uri;
  uri.transport = scheme->transport;
  scheme->address.parse({text, name, text.substr(colon + 1)}, uri);
  return uri;
}

}  // namespace airlock
