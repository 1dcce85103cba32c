#include "airlock/link/uri_syntax.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/un.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {

// sun_path holds a path and its terminating NUL, or a leading NUL and an abstract name.
constexpr std::size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
// The longest host name DNS knows (RFC 1035, 2.3.4, in its textual form).
constexpr std::size_t kMaxHost = 253;

template <typename... Args>
[[noreturn]] void bad(std::string_view text, fmt::format_string<Args...> format, Args&&... args) {
  fail_uri(text, fmt::format(format, std::forward<Args>(args)...));
}

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

void parse_name(const UriText& text, Uri& uri) {
  for (const char c : text.rest) {
    if (c == '/' || c == ' ') {
      bad(text.whole, "an in-process name has no `{}`; expected {}:NAME", c, text.scheme);
    }
  }
  uri.path = std::string(text.rest);
}

std::string print_name(const Uri& uri) {
  return uri.path;
}

void parse_path(const UriText& text, Uri& uri) {
  if (!text.rest.starts_with("//")) {
    bad(text.whole, "expected {}:///PATH with an absolute path", text.scheme);
  }
  const std::string_view path = text.rest.substr(2);
  const bool abstract = path.starts_with('@');
  if (!abstract && !path.starts_with('/')) {
    bad(text.whole, "the path is not absolute; expected {}:///PATH (three slashes)", text.scheme);
  }
  if (path.size() == 1) bad(text.whole, "the {} is empty", abstract ? "name" : "path");
  if (!abstract && path.ends_with('/')) bad(text.whole, "the path names a folder, not a socket");
  // '@' stands for the leading NUL of an abstract name, which sun_path holds besides the name.
  const std::size_t limit = abstract ? kMaxPath + 1 : kMaxPath;
  if (path.size() > limit) {
    bad(text.whole, "the path has {} bytes, a socket's path has at most {}", path.size(), limit);
  }
  uri.path = std::string(path);
}

std::string print_path(const Uri& uri) {
  return "//" + uri.path;
}

std::uint16_t parse_port(std::string_view text, std::string_view port) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (error == std::errc::invalid_argument || end != port.data() + port.size()) {
    bad(text, "the port `{}` is not a number", port);
  }
  if (error == std::errc::result_out_of_range || value > 65535) {
    bad(text, "the port {} is out of range, expected 0 to 65535", port);
  }
  return static_cast<std::uint16_t>(value);
}

void check_ipv6(std::string_view text, std::string_view host) {
  const std::size_t percent = host.find('%');
  const std::string address(host.substr(0, percent));
  in6_addr ignored{};
  if (::inet_pton(AF_INET6, address.c_str(), &ignored) != 1) {
    bad(text, "`{}` is not an IPv6 address", address);
  }
  if (percent == std::string_view::npos) return;
  const std::string_view zone = host.substr(percent + 1);
  if (zone.empty() || zone.size() >= IF_NAMESIZE || !std::ranges::all_of(zone, is_host_char)) {
    bad(text, "`{}` does not name a network interface", zone);
  }
}

void check_host(std::string_view text, std::string_view host) {
  if (host.empty()) bad(text, "the host is missing");
  if (host.find(':') != std::string_view::npos) {
    bad(text, "an IPv6 address goes in brackets: [{}]", host);
  }
  if (host.size() > kMaxHost) bad(text, "the host name has more than {} bytes", kMaxHost);
  for (const char c : host) {
    if (!is_host_char(c)) bad(text, "`{}` cannot be in a host name", c);
  }
}

void parse_host_and_port(const UriText& text, Uri& uri) {
  std::string_view rest = text.rest;
  if (!rest.starts_with("//")) bad(text.whole, "expected {}://HOST:PORT", text.scheme);
  rest.remove_prefix(2);
  if (rest.find('/') != std::string_view::npos) {
    bad(text.whole, "nothing may follow the port; expected {}://HOST:PORT", text.scheme);
  }
  std::string_view host;
  std::string_view after;
  if (rest.starts_with('[')) {
    const std::size_t bracket = rest.find(']');
    if (bracket == std::string_view::npos) bad(text.whole, "the `[` is never closed");
    host = rest.substr(1, bracket - 1);
    after = rest.substr(bracket + 1);
    check_ipv6(text.whole, host);
  } else {
    const std::size_t colon = std::min(rest.rfind(':'), rest.size());
    host = rest.substr(0, colon);
    after = rest.substr(colon);
    check_host(text.whole, host);
  }
  if (!after.starts_with(':') || after.size() == 1) {
    bad(text.whole, "the port is missing; expected {}://HOST:PORT", text.scheme);
  }
  uri.host = std::string(host);
  uri.port = parse_port(text.whole, after.substr(1));
}

std::string print_host_and_port(const Uri& uri) {
  const bool brackets = uri.host.find(':') != std::string::npos;
  return fmt::format("//{}{}{}:{}", brackets ? "[" : "", uri.host, brackets ? "]" : "", uri.port);
}

}  // namespace

const UriSyntax kNameSyntax{parse_name, print_name};
const UriSyntax kPathSyntax{parse_path, print_path};
const UriSyntax kHostSyntax{parse_host_and_port, print_host_and_port};

void fail_uri(std::string_view text, std::string_view what) {
  fail(ErrorCode::kInvalidArgument, "`{}`: {}", text, what);
}

}  // namespace airlock
