#include "airlock/link/scheme.h"

#include <algorithm>
#include <array>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/link/inproc.h"
#include "airlock/link/socket_connect.h"

namespace airlock {
namespace {

constexpr LinkTraits kInprocTraits{
    .same_process = true, .same_machine = true, .private_to_user = true};
constexpr LinkTraits kUnixTraits{.same_machine = true, .private_to_user = true};
constexpr LinkTraits kShmTraits{
    .same_machine = true, .shares_memory = true, .private_to_user = true};

const std::array<LinkScheme, 5> kSchemes = {{
    {Transport::kInproc, "inproc", "inproc:NAME", kNameSyntax, kInprocTraits, connect_inproc,
     listen_inproc, nullptr},
    {Transport::kUnix, "unix", "unix:///PATH", kPathSyntax, kUnixTraits, connect_unix, listen_unix,
     pair_unix},
    {Transport::kShm, "shm", "shm:///PATH", kPathSyntax, kShmTraits, connect_unix, listen_unix,
     pair_unix},
    {Transport::kTcp, "tcp", "tcp://HOST:PORT", kHostSyntax, {}, connect_tcp, listen_tcp, pair_tcp},
    {Transport::kTls, "tls", "tls://HOST:PORT", kHostSyntax, {}, nullptr, nullptr, nullptr},
}};

}  // namespace

std::span<const LinkScheme> link_schemes() noexcept {
  return kSchemes;
}

const LinkScheme& scheme_of(Transport transport) {
  const auto found = std::ranges::find(kSchemes, transport, &LinkScheme::transport);
  require(found != kSchemes.end(), ErrorCode::kInternal, "there is no link of kind {}",
          static_cast<int>(transport));
  return *found;
}

std::string list_schemes(std::string_view LinkScheme::*field, bool (*listed)(const LinkScheme&)) {
  std::vector<std::string_view> words;
  for (const LinkScheme& scheme : kSchemes) {
    if (listed(scheme)) words.push_back(scheme.*field);
  }
  if (words.size() < 2) return fmt::format("{}", fmt::join(words, ""));
  const std::string_view last = words.back();
  words.pop_back();
  return fmt::format("{} or {}", fmt::join(words, ", "), last);
}

}  // namespace airlock
