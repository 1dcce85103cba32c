#include "airlock/link/connect.h"

#include <atomic>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "airlock/link/socket_address.h"

#include "tests/link/link_support.h"

namespace airlock::connect_test {
namespace {

class ListenerTest : public ::testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] Uri uri() const {
    return GetParam() == "unix" ? folder_.socket("s") : parse_uri(GetParam());
  }
  TempFolder folder_;
};

TEST_P(ListenerTest, TakesManyPeersEachWithItsOwnBytes) {
  const auto listener = listen(uri());
  constexpr std::size_t kPeers = 40;
  Background dialling([&] {
    std::vector<std::unique_ptr<Link>> links;
    for (std::size_t i = 0; i < kPeers; ++i) {
      links.push_back(dial(listener->local_uri()));
      links.back()->send(Bytes(1, static_cast<std::byte>(i)));
    }
    for (auto& link : links) EXPECT_FALSE(link->wait_readable(kLong));
  });
  std::set<std::byte> seen;
  std::vector<std::unique_ptr<Link>> taken;
  for (std::size_t i = 0; i < kPeers; ++i) {
    taken.push_back(listener->accept());
    Bytes got(1);
    taken.back()->receive(got);
    seen.insert(got[0]);
  }
  EXPECT_EQ(seen.size(), kPeers);
  taken.clear();
}

TEST_P(ListenerTest, CloseEndsABlockedAcceptAndRefusesNewPeers) {
  const auto listener = listen(uri());
  const Uri address = listener->local_uri();
  Background closer([&] {
    std::this_thread::sleep_for(kShort);
    listener->close();
  });
  EXPECT_EQ(listener->accept(), nullptr);
  EXPECT_EQ(listener->accept(), nullptr);
  expect_error(ErrorCode::kConnectionRefused, address.to_string(), [&] { (void)dial(address); });
}

TEST_P(ListenerTest, AStopEndsABlockedAcceptAndTheLinksItTook) {
  const StopSource source;
  const auto listener = listen(uri(), {.stop = source.token()});
  const LinkEnds ends = connected_through(*listener);
  Background stopper([&] {
    std::this_thread::sleep_for(kShort);
    source.request_stop();
  });
  expect_error(ErrorCode::kInterrupted, "", [&] { (void)listener->accept(); });
  expect_error(ErrorCode::kInterrupted, "", [&] { (void)ends.second->wait_readable(kLong); });
  expect_error(ErrorCode::kTimeout, "", [&] { (void)ends.first->wait_readable(kShort); });
}

TEST_P(ListenerTest, RefusesOptionsOutOfRange) {
  LinkOptions shapeless;
  shapeless.shape = LinkShape{};
  expect_error(ErrorCode::kInvalidArgument, "bandwidth", [&] { (void)listen(uri(), shapeless); });
  expect_error(ErrorCode::kInvalidArgument, "bandwidth", [&] { (void)connect(uri(), shapeless); });
  for (const mode_t mode : {mode_t{0}, mode_t{0400}, mode_t{0700}, mode_t{04600}}) {
    expect_error(ErrorCode::kInvalidArgument, "0600 to 0666",
                 [&] { (void)listen(uri(), {.socket_mode = mode}); });
  }
}

TEST_P(ListenerTest, NobodyConnectsOnceStopped) {
  const auto listener = listen(uri());
  const StopSource source;
  source.request_stop();
  expect_error(ErrorCode::kInterrupted, "",
               [&] { (void)connect(listener->local_uri(), {.stop = source.token()}); });
}

TEST_P(ListenerTest, RefusesASecondListenerAndLeavesTheFirstAlone) {
  const auto first = listen(uri());
  expect_error(ErrorCode::kAddressInUse, "choose another",
               [&] { (void)listen(first->local_uri()); });
  const auto link = dial(first->local_uri());
  EXPECT_NE(first->accept(), nullptr);
}

TEST_P(ListenerTest, FreesItsAddress) {
  Uri address;
  {
    const auto first = listen(uri());
    address = first->local_uri();
    const LinkEnds ends = connected_through(*first);
  }
  const auto second = listen(address);
  EXPECT_EQ(second->local_uri(), address);
}

TEST_P(ListenerTest, RefusesToConnectWhereNobodyListens) {
  const Uri address = listen(uri())->local_uri();
  expect_error(ErrorCode::kConnectionRefused, address.to_string(), [&] { (void)dial(address); });
}

TEST_P(ListenerTest, EndsTheConversationOfPeersItNeverTook) {
  auto listener = listen(uri());
  const auto link = dial(listener->local_uri());
  listener.reset();
  const Caught caught = catch_error([&] { EXPECT_FALSE(link->wait_readable(kLong)); });
  EXPECT_TRUE(!caught.thrown || caught.code == ErrorCode::kConnectionLost) << caught.message;
}

TEST_P(ListenerTest, LeavesNoDescriptorOpen) {
  const std::size_t before = open_descriptors();
  {
    const auto listener = listen(uri());
    const LinkEnds ends = connected_through(*listener);
    const auto never_taken = dial(listener->local_uri());
    EXPECT_TRUE(catch_error([&] { (void)listen(listener->local_uri()); }).thrown);
  }
  EXPECT_EQ(open_descriptors(), before);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ListenerTest,
                         ::testing::Values("inproc:test", "unix", "unix://@airlock-connect-test",
                                           "tcp://127.0.0.1:0", "tcp://localhost:0"),
                         [](const auto& test) { return std::to_string(test.index); });

TEST(Connect, RefusesWhatIsNotBuiltIn) {
  for (const char* text : {"tls://localhost:1"}) {
    const Uri uri = parse_uri(text);
    expect_error(ErrorCode::kUnsupported, text, [&] { (void)dial(uri); });
    expect_error(ErrorCode::kUnsupported, text, [&] { (void)listen(uri); });
  }
}

TEST(Connect, RefusesAHostThatDoesNotResolve) {
  const Uri uri = parse_uri("tcp://no-such-host.invalid:7000");
  expect_error(ErrorCode::kConnectionRefused, "cannot be resolved", [&] { (void)dial(uri); });
  expect_error(ErrorCode::kInvalidArgument, "cannot be resolved", [&] { (void)listen(uri); });
}

TEST(Connect, RefusesPortZero) {
  expect_error(ErrorCode::kInvalidArgument, "port other than 0",
               [&] { (void)dial(parse_uri("tcp://127.0.0.1:0")); });
}

TEST(Connect, RefusesAnAddressThatIsNotOfThisMachine) {
  // 192.0.2.0/24 is set aside for documentation (RFC 5737).
  expect_error(ErrorCode::kInvalidArgument, "not an address of this machine",
               [&] { (void)listen(parse_uri("tcp://192.0.2.1:0")); });
}

// Holds a socket that listens with no room for anybody.
Fd full_listener(const SocketAddress& address, std::vector<Fd>& fillers) {
  Fd fd = open_socket(address.family());
  EXPECT_EQ(::bind(fd.get(), address.get(), address.size), 0);
  EXPECT_EQ(::listen(fd.get(), 0), 0);
  const SocketAddress bound = local_address(fd.get());
  for (int i = 0; i < 4; ++i) {
    fillers.push_back(open_socket(address.family()));
    (void)::connect(fillers.back().get(), bound.get(), bound.size);
  }
  return fd;
}

TEST(Connect, TimesOutOrIsStoppedWhenTheListenerTakesNobody) {
  const TempFolder folder;
  for (const Uri& uri : {folder.socket("s"), parse_uri("tcp://127.0.0.1:0")}) {
    SCOPED_TRACE(uri.to_string());
    std::vector<Fd> fillers;
    const bool tcp = uri.transport == Transport::kTcp;
    const SocketAddress address =
        tcp ? resolve(uri, true, ErrorCode::kInternal).front() : unix_address(uri);
    const Fd full = full_listener(address, fillers);
    const Uri target = tcp ? tcp_uri(local_address(full.get())) : uri;
    expect_error(ErrorCode::kTimeout, "within 50 ms",
                 [&] { (void)connect(target, {.connect_timeout = kShort}); });
    const StopSource source;
    const Background stopper([&] {
      std::this_thread::sleep_for(kShort);
      source.request_stop();
    });
    expect_error(ErrorCode::kInterrupted, "",
                 [&] { (void)dial(target, {.stop = source.token()}); });
  }
}

TEST(Listener, SurvivesAShortageOfDescriptors) {
  const TempFolder folder;
  const auto listener = listen(folder.socket("s"));
  const auto link = dial(listener->local_uri());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  // The number that the next descriptor would get.
  none.rlim_cur = static_cast<rlim_t>(open_socket(AF_UNIX).get());
  // Started while there are descriptors: UBSan opens some to look at an object's type.
  std::atomic<bool> scarce{false};
  Background relief([&] {
    scarce.wait(false);
    std::this_thread::sleep_for(kShort);
    ::setrlimit(RLIMIT_NOFILE, &before);
  });
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  scarce = true;
  scarce.notify_one();
  EXPECT_NE(listener->accept(), nullptr);
}

TEST(LeadToOneListener, WhateverTheWayThere) {
  const TempFolder folder;
  const Uri socket = folder.socket("s");
  const auto listener = listen(socket);
  const auto one = [](const Uri& a, const Uri& b) {
    EXPECT_EQ(lead_to_one_listener(a, b), lead_to_one_listener(b, a));
    return lead_to_one_listener(a, b);
  };
  Uri other = socket;
  EXPECT_TRUE(one(socket, other));
  other.transport = Transport::kShm;
  EXPECT_TRUE(one(socket, other));
  other.path = std::filesystem::path(socket.path).parent_path() / "." / "s";
  EXPECT_TRUE(one(socket, other));
  std::filesystem::create_symlink(socket.path, socket.path + "-link");
  other.path = socket.path + "-link";
  EXPECT_TRUE(one(socket, other));
  EXPECT_FALSE(one(socket, folder.socket("t"))) << "not there";
  const Uri second = folder.socket("u");
  const auto another = listen(second);
  EXPECT_FALSE(one(socket, second));
  EXPECT_TRUE(one(parse_uri("unix://@a"), parse_uri("shm://@a")));
  EXPECT_FALSE(one(parse_uri("unix://@a"), parse_uri("unix://@b")));
  EXPECT_FALSE(one(parse_uri("unix://@a"), socket));

  EXPECT_TRUE(one(parse_uri("tcp://127.0.0.1:7000"), parse_uri("tcp://localhost:7000")));
  EXPECT_TRUE(one(parse_uri("tcp://127.1:7000"), parse_uri("tls://127.0.0.1:7000")));
  EXPECT_FALSE(one(parse_uri("tcp://127.0.0.1:7000"), parse_uri("tcp://127.0.0.1:7001")));
  EXPECT_FALSE(one(parse_uri("tcp://10.0.0.1:7000"), parse_uri("tcp://10.0.0.2:7000")));
  EXPECT_FALSE(one(parse_uri("tcp://127.0.0.1:7000"), socket));
}

}  // namespace
}  // namespace airlock::connect_test
