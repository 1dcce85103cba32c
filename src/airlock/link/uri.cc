#include "airlock/link/uri.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/un.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"inproc", "unix", "tcp", "shm", "tls"};
constexpr std::string_view kForms =
    "expected inproc:NAME, unix:///PATH, shm:///PATH, tcp://HOST:PORT or tls://HOST:PORT";
// sun_path holds a path and its terminating NUL, or a leading NUL and an abstract name.
constexpr std::size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
// The longest host name DNS knows (RFC 1035, 2.3.4, in its textual form).
constexpr std::size_t kMaxHost = 253;

template <typename... Args>
[[noreturn]] void bad(std::string_view text, fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::kInvalidArgument, "`{}`: {}", text,
       fmt::format(format, std::forward<Args>(args)...));
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string parse_inproc_name(std::string_view text, std::string_view name) {
  for (const char c : name) {
    if (c == '/' || c == ' ') bad(text, "an in-process name has no `{}`; expected inproc:NAME", c);
  }
  return std::string(name);
}

std::string parse_path(std::string_view text, std::string_view scheme, std::string_view rest) {
  if (!rest.starts_with("//")) bad(text, "expected {}:///PATH with an absolute path", scheme);
  const std::string_view path = rest.substr(2);
  const bool abstract = path.starts_with('@');
  if (!abstract && !path.starts_with('/')) {
    bad(text, "the path is not absolute; expected {}:///PATH (three slashes)", scheme);
  }
  if (path.size() == 1) bad(text, "the {} is empty", abstract ? "name" : "path");
  if (!abstract && path.ends_with('/')) bad(text, "the path names a folder, not a socket");
  // '@' stands for the leading NUL of an abstract name, which sun_path holds besides the name.
  const std::size_t limit = abstract ? kMaxPath + 1 : kMaxPath;
  if (path.size() > limit) {
    bad(text, "the path has {} bytes, a socket's path has at most {}", path.size(), limit);
  }
  return std::string(path);
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

void parse_host_and_port(std::string_view text, std::string_view scheme, std::string_view rest,
                         Uri& uri) {
  if (!rest.starts_with("//")) bad(text, "expected {}://HOST:PORT", scheme);
  rest.remove_prefix(2);
  if (rest.find('/') != std::string_view::npos) {
    bad(text, "nothing may follow the port; expected {}://HOST:PORT", scheme);
  }
  std::string_view host;
  std::string_view after;
  if (rest.starts_with('[')) {
    const std::size_t bracket = rest.find(']');
    if (bracket == std::string_view::npos) bad(text, "the `[` is never closed");
    host = rest.substr(1, bracket - 1);
    after = rest.substr(bracket + 1);
    check_ipv6(text, host);
  } else {
    const std::size_t colon = std::min(rest.rfind(':'), rest.size());
    host = rest.substr(0, colon);
    after = rest.substr(colon);
    check_host(text, host);
  }
  if (!after.starts_with(':') || after.size() == 1) {
    bad(text, "the port is missing; expected {}://HOST:PORT", scheme);
  }
  uri.host = std::string(host);
  uri.port = parse_port(text, after.substr(1));
}

}  // namespace

std::string_view transport_name(Transport transport) noexcept {
  const auto index = static_cast<std::size_t>(transport);
  return index < kNames.size() ? kNames[index] : "unknown";
}

std::string Uri::to_string() const {
  const std::string_view name = transport_name(transport);
  switch (transport) {
    case Transport::kInproc:
      return fmt::format("{}:{}", name, path);
    case Transport::kUnix:
    case Transport::kShm:
      return fmt::format("{}://{}", name, path);
    case Transport::kTcp:
    case Transport::kTls:
      break;
  }
  const bool brackets = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", name, brackets ? "[" : "", host, brackets ? "]" : "", port);
}

Uri parse_uri(std::string_view text) {
  require(!text.empty(), ErrorCode::kInvalidArgument, "the link's address is empty; {}", kForms);
  require(std::ranges::none_of(text, is_control), ErrorCode::kInvalidArgument,
          "the link's address contains a control character; {}", kForms);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    if (text.starts_with('/')) bad(text, "did you mean `unix://{}`?", text);
    bad(text, "no scheme; {}", kForms);
  }
  const std::string scheme = lower(text.substr(0, colon));
  const auto found = std::ranges::find(kNames, scheme);
  if (found == kNames.end()) {
    bad(text, "unknown link `{}`{}; {}", text.substr(0, colon), suggest(scheme, kNames), kForms);
  }
  const std::string_view rest = text.substr(colon + 1);
  Uri uri;
  uri.transport = static_cast<Transport>(found - kNames.begin());
  switch (uri.transport) {
    case Transport::kInproc:
      uri.path = parse_inproc_name(text, rest);
      break;
    case Transport::kUnix:
    case Transport::kShm:
      uri.path = parse_path(text, scheme, rest);
      break;
    case Transport::kTcp:
    case Transport::kTls:
      parse_host_and_port(text, scheme, rest, uri);
      break;
  }
  return uri;
}

}  // namespace airlock
