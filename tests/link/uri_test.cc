#include "airlock/link/uri.h"

#include <gtest/gtest.h>

#include "tests/link/link_support.h"

namespace airlock::uri_test {
namespace {

struct Good {
  std::string text;
  Uri uri;
  std::string canonical;  // empty: the text itself
};

TEST(ParseUri, ReadsEveryForm) {
  const std::string longest = "/" + std::string(106, 'p');
  const std::string longest_abstract = "@" + std::string(107, 'p');
  const std::vector<Good> cases = {
      {"inproc:", {Transport::kInproc, "", "", 0}, ""},
      {"inproc:worker-1", {Transport::kInproc, "worker-1", "", 0}, ""},
      {"unix:///run/a.sock", {Transport::kUnix, "/run/a.sock", "", 0}, ""},
      {"unix:///a b%20:c", {Transport::kUnix, "/a b%20:c", "", 0}, ""},
      {"unix://@name", {Transport::kUnix, "@name", "", 0}, ""},
      {"unix://" + longest, {Transport::kUnix, longest, "", 0}, ""},
      {"unix://" + longest_abstract, {Transport::kUnix, longest_abstract, "", 0}, ""},
      {"shm:///run/a.sock", {Transport::kShm, "/run/a.sock", "", 0}, ""},
      {"tcp://localhost:0", {Transport::kTcp, "", "localhost", 0}, ""},
      {"tcp://10.0.0.2:65535", {Transport::kTcp, "", "10.0.0.2", 65535}, ""},
      {"tcp://[::1]:7000", {Transport::kTcp, "", "::1", 7000}, ""},
      {"tcp://[fe80::1%eth0]:7000", {Transport::kTcp, "", "fe80::1%eth0", 7000}, ""},
      {"tls://gpu-host.example:443", {Transport::kTls, "", "gpu-host.example", 443}, ""},
      {"TCP://h:007", {Transport::kTcp, "", "h", 7}, "tcp://h:7"},
  };
  for (const Good& good : cases) {
    SCOPED_TRACE(good.text);
    const Uri uri = parse_uri(good.text);
    EXPECT_TRUE(uri == good.uri) << uri.to_string();
    EXPECT_EQ(uri.to_string(), good.canonical.empty() ? good.text : good.canonical);
  }
}

TEST(ParseUri, SaysWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "empty"},
      {"/run/a.sock", "did you mean `unix:///run/a.sock`?"},
      {"worker", "no scheme"},
      {":", "unknown link ``"},
      {"localhost:7000", "unknown link `localhost`"},
      {"tcpp://h:1", "did you mean `tcp`?"},
      {"unixx:///a", "did you mean `unix`?"},
      {"http://h:1", "expected inproc:NAME"},
      {"inproc://name", "expected inproc:NAME"},
      {"inproc:a b", "no ` `"},
      {"unix:/a", "expected unix:///PATH"},
      {"unix:a", "expected unix:///PATH"},
      {"unix://", "not absolute"},
      {"unix://a/b", "not absolute"},
      {"unix:///", "the path is empty"},
      {"unix://@", "the name is empty"},
      {"unix:///run/", "names a folder"},
      {"unix:///" + std::string(107, 'p'), "has 108 bytes, a socket's path has at most 107"},
      {"unix://@" + std::string(108, 'p'), "at most 108"},
      {std::string("unix:///a\0b", 11), "control character"},
      {"unix:///a\nb", "control character"},
      {"tcp:h:1", "expected tcp://HOST:PORT"},
      {"tcp://", "the host is missing"},
      {"tcp://:80", "the host is missing"},
      {"tcp://h", "the port is missing"},
      {"tcp://h:", "the port is missing"},
      {"tcp://h:x", "`x` is not a number"},
      {"tcp://h:-1", "`-1` is not a number"},
      {"tcp://h:+1", "`+1` is not a number"},
      {"tcp://h:8 ", "is not a number"},
      {"tcp://h:65536", "out of range"},
      {"tcp://h:99999999999999999999", "out of range"},
      {"tcp://h:99999999999999999999x", "is not a number"},
      {"tcp://h:1/path", "nothing may follow"},
      {"tcp://::1:80", "in brackets"},
      {"tcp://[::1]", "the port is missing"},
      {"tcp://[::1]80", "the port is missing"},
      {"tcp://[::1:80", "never closed"},
      {"tcp://[]:80", "is not an IPv6 address"},
      {"tcp://[10.0.0.1]:80", "is not an IPv6 address"},
      {"tcp://[fe80::1%]:80", "network interface"},
      {"tcp://[fe80::1%a/b]:80", "nothing may follow"},
      {"tcp://user@h:1", "`@` cannot be in a host name"},
      {"tcp://" + std::string(254, 'h') + ":1", "more than 253 bytes"},
  };
  for (const auto& [text, part] : cases) {
    SCOPED_TRACE(text);
    expect_error(ErrorCode::kInvalidArgument, part, [&] { (void)parse_uri(text); });
  }
}

TEST(TransportName, IsTheScheme) {
  EXPECT_EQ(transport_name(Transport::kInproc), "inproc");
  EXPECT_EQ(transport_name(Transport::kTls), "tls");
  EXPECT_EQ(transport_name(static_cast<Transport>(77)), "unknown");
}

}  // namespace
}  // namespace airlock::uri_test
