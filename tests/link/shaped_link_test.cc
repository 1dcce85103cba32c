#include "airlock/link/shaped_link.h"

#include "tests/link/link_support.h"
#include "tests/link/virtual_link.h"

namespace airlock::shaped_link_test {
namespace {

using Time = ShaperClock::Time;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kTolerance = 0.03;

double seconds_of(ShaperClock::Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// A shaped link to a far end, by a clock that this test's thread and the link's thread share.
class Shaped {
 public:
  explicit Shaped(const LinkShape& shape, std::size_t more_threads = 0,
                  ShaperClock::Duration late = {})
      : clock(2 + more_threads, late), shape_(shape) {
    auto inner = std::make_unique<FarEnd>(clock);
    far = inner.get();
    link = shape_link(std::move(inner), shape, {}, clock);
    begin_ = clock.now();
  }

  [[nodiscard]] Time begin() const { return begin_; }
  [[nodiscard]] double elapsed() { return seconds_of(clock.now() - begin_); }
  /// Seconds that the shape allows for `bytes` one way.
  [[nodiscard]] double share(std::size_t bytes) const {
    return static_cast<double>(bytes) / shape_.bytes_per_second;
  }
  /// Receives `bytes` and expects them to be the far end's next.
  void expect_bytes(std::size_t bytes) {
    Bytes got(bytes);
    link->receive(got);
    std::size_t wrong = 0;
    for (const std::byte byte : got) wrong += byte != static_cast<std::byte>(expected_++);
    ASSERT_EQ(wrong, 0u);
  }
  /// The far end answers what it gets with as many bytes, once it has `bytes` of them.
  void echo(std::size_t bytes) {
    far->on_arrival([this, bytes](const FarEnd::Arrival& arrival) {
      pending_ += arrival.bytes;
      if (pending_ < bytes) return;
      pending_ -= bytes;
      far->say(arrival.at, bytes);
    });
  }

  VirtualClock clock;
  FarEnd* far = nullptr;
  std::unique_ptr<Link> link;

 private:
  const LinkShape shape_;
  Time begin_;
  std::size_t expected_ = 0;
  std::size_t pending_ = 0;
};

void expect_near(double measured, double expected) {
  EXPECT_NEAR(measured, expected, kTolerance * expected);
}

struct Load {
  std::string name;
  LinkShape shape;
  std::size_t bytes;
};

class ShapedLinkOf : public ::testing::TestWithParam<Load> {
 protected:
  const LinkShape& shape() const { return GetParam().shape; }
  std::size_t bytes() const { return GetParam().bytes; }
};

TEST_P(ShapedLinkOf, SendsAtItsBandwidthAndNeverAhead) {
  Shaped shaped(shape());
  shaped.link->send(Bytes(bytes()));
  expect_near(shaped.elapsed(), shaped.share(bytes()));
  std::size_t sent = 0;
  for (const FarEnd::Arrival& arrival : shaped.far->arrivals()) {
    sent += arrival.bytes;
    ASSERT_GE(seconds_of(arrival.at - shaped.begin()), shaped.share(sent) - 1e-9);
  }
  EXPECT_EQ(sent, bytes());
  EXPECT_EQ(shaped.link->bytes_sent(), bytes());
}

TEST_P(ShapedLinkOf, ReceivesAtItsBandwidthAfterOneRoundTrip) {
  Shaped shaped(shape());
  shaped.far->say(shaped.begin(), bytes());
  shaped.expect_bytes(bytes());
  expect_near(shaped.elapsed(), shaped.share(bytes()) + shape().rtt_ms / 1e3);
  EXPECT_EQ(shaped.link->bytes_received(), bytes());
}

TEST_P(ShapedLinkOf, GivesEachDirectionItsBandwidthAtTheSameTime) {
  Shaped shaped(shape(), 1);
  shaped.far->say(shaped.begin(), bytes());
  Background sender([&] {
    shaped.link->send(Bytes(bytes()));
    shaped.clock.leave();
  });
  shaped.expect_bytes(bytes());
  shaped.clock.leave();
  sender.join();
  expect_near(shaped.elapsed(), shaped.share(bytes()) + shape().rtt_ms / 1e3);
}

INSTANTIATE_TEST_SUITE_P(Loads, ShapedLinkOf,
                         ::testing::Values(Load{"Modem", {7e3, 150}, 300'000},
                                           Load{"Slow", {20e6, 1}, 4'000'000},
                                           Load{"Ethernet", {125e6, 0.2}, 10'000'000},
                                           Load{"Prototype", {162e6, 0.1}, 10'000'001},
                                           Load{"TenGigabit", {1.25e9, 0.05}, 30'000'000},
                                           Load{"Far", {100e6, 100}, 30'000'000},
                                           Load{"Fat", {50e9, 0}, 80'000'000}),
                         [](const auto& test) { return test.param.name; });

/// A message of kHead bytes that tells of `bytes` in shared memory.
constexpr std::size_t kHead = 64;

TEST_P(ShapedLinkOf, BytesInSharedMemoryGoOutAtItsBandwidth) {
  Shaped shaped(shape());
  shaped.link->carry_out(bytes());
  shaped.link->send(Bytes(kHead));
  shaped.link->carry_out(bytes());
  shaped.link->send(Bytes(kHead));
  expect_near(shaped.elapsed(), shaped.share(2 * (bytes() + kHead)));
  ASSERT_EQ(shaped.far->arrivals().size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_GE(seconds_of(shaped.far->arrivals()[i].at - shaped.begin()),
              shaped.share((i + 1) * (bytes() + kHead)) - 1e-9);
  }
  EXPECT_EQ(shaped.link->bytes_sent(), 2 * kHead);
}

TEST_P(ShapedLinkOf, BytesInSharedMemoryComeInAtItsBandwidthAfterOneRoundTrip) {
  Shaped shaped(shape());
  shaped.far->say(shaped.begin(), 3 * kHead);
  for (int i = 0; i < 3; ++i) {
    shaped.expect_bytes(kHead);
    shaped.link->carry_in(bytes());
  }
  expect_near(shaped.elapsed(), shaped.share(3 * bytes()) + shape().rtt_ms / 1e3);
  EXPECT_EQ(shaped.link->bytes_received(), 3 * kHead);
}

TEST(ShapedLink, BytesInSharedMemoryArriveWhileNobodyReceives) {
  Shaped shaped({100e6, 1});
  shaped.far->say(shaped.begin(), 2 * kHead);  // two messages of half a second each
  shaped.clock.sleep(milliseconds(700));
  shaped.expect_bytes(kHead);
  shaped.link->carry_in(50'000'000);
  expect_near(shaped.elapsed(), 0.7);
  shaped.expect_bytes(kHead);
  shaped.link->carry_in(50'000'000);
  expect_near(shaped.elapsed(), 1.001);
  // The line was idle since.
  shaped.far->say(shaped.begin() + seconds(2), kHead);
  shaped.expect_bytes(kHead);
  shaped.link->carry_in(50'000'000);
  expect_near(shaped.elapsed(), 2.501);
}

TEST(ShapedLink, CloseEndsAWaitForSharedMemory) {
  for (const bool out : {true, false}) {
    auto inner = make_inproc_pair();
    const auto shaped = shape_link(std::move(inner.first), {1e3, 0});
    Bytes byte(1);
    inner.second->send(byte);
    shaped->receive(byte);
    Background closer([&] {
      std::this_thread::sleep_for(milliseconds(20));
      shaped->close();
    });
    expect_error(ErrorCode::kConnectionLost, "closed on this side",
                 [&] { out ? shaped->carry_out(1'000'000) : shaped->carry_in(1'000'000); });
  }
}

TEST(ShapedLink, PaysTheRoundTripOnceATurnaround) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{1'000'000}}) {
    SCOPED_TRACE(size);
    Shaped shaped({50e6, 2});
    shaped.echo(size);
    const int calls = 20;
    for (int i = 0; i < calls; ++i) {
      shaped.link->send(Bytes(size));
      ASSERT_TRUE(shaped.link->wait_readable(std::nullopt));
      shaped.expect_bytes(size);
    }
    expect_near(shaped.elapsed(), calls * (2 * shaped.share(size) + 2e-3));
  }
}

TEST(ShapedLink, OverlapsTheRoundTripsOfCallsUnderWay) {
  constexpr std::size_t kRequest = 1000;
  Shaped shaped({1e6, 50});
  shaped.echo(kRequest);
  shaped.link->send(Bytes(kRequest));
  shaped.link->send(Bytes(kRequest));
  shaped.expect_bytes(kRequest);
  expect_near(shaped.elapsed(), 2e-3 + 50e-3);
  shaped.expect_bytes(kRequest);
  expect_near(shaped.elapsed(), 3e-3 + 50e-3);
}

TEST(ShapedLink, BytesArriveWhileNobodyReceives) {
  constexpr std::size_t kReply = 200'000;
  Shaped shaped({1e6, 50});
  shaped.far->say(shaped.begin(), kReply);
  shaped.far->say(shaped.begin() + seconds(1), kReply);
  shaped.clock.sleep(milliseconds(1300));  // of 200 ms and 50, then the second's 1050 to 1250
  shaped.expect_bytes(2 * kReply);
  EXPECT_DOUBLE_EQ(shaped.elapsed(), 1.3);
}

TEST(ShapedLink, GivesTheFirstBytesOfALargeReadAtTheirOwnTime) {
  Shaped shaped({1e6, 10});
  shaped.far->say(shaped.begin(), 100'000);
  shaped.expect_bytes(50);
  EXPECT_DOUBLE_EQ(shaped.elapsed(), 10e-3 + 50e-6);
}

TEST(ShapedLink, ASmallFrameCostsItsShareAndNoMore) {
  Shaped shaped({1e6, 0});
  for (int i = 0; i < 10'000; ++i) shaped.link->send(Bytes(64));
  expect_near(shaped.elapsed(), shaped.share(640'000));
}

TEST(ShapedLink, SleepsThatEndLateDoNotAddUp) {
  for (const std::size_t size : {std::size_t{64}, std::size_t{5000}, std::size_t{2'000'000}}) {
    SCOPED_TRACE(size);
    Shaped sending({20e6, 0}, 0, microseconds(300));
    for (std::size_t sent = 0; sent < 2'000'000; sent += size) sending.link->send(Bytes(size));
    expect_near(sending.elapsed(), sending.share(2'000'000));
    Shaped receiving({20e6, 0}, 0, microseconds(300));
    receiving.far->say(receiving.begin(), 2'000'000);
    for (std::size_t got = 0; got < 2'000'000; got += size) receiving.expect_bytes(size);
    expect_near(receiving.elapsed(), receiving.share(2'000'000));
  }
}

TEST(ShapedLink, APeerThatHeldItUpGetsNoBurstAfterwards) {
  Shaped shaped({1e6, 0});
  shaped.far->hold_until(shaped.begin() + seconds(10));
  shaped.link->send(Bytes(1'000'000));
  expect_near(shaped.elapsed(), 10 + 1);
}

TEST(ShapedLink, APeerMustWaitWhenTooMuchIsUnread) {
  constexpr std::size_t kSaid = 5'000'000;
  Shaped shaped({1e6, 100});
  shaped.far->say(shaped.begin(), kSaid);
  shaped.clock.sleep(std::chrono::hours(1));
  EXPECT_LT(shaped.far->taken(), 1'000'000u);
  shaped.expect_bytes(kSaid);
  EXPECT_EQ(shaped.far->taken(), kSaid);
}

TEST(ShapedLink, TakesWhatHasArrived) {
  Shaped shaped({1e6, 10});
  shaped.far->say(shaped.begin(), 1000);
  Bytes got(2000);
  EXPECT_EQ(shaped.link->receive_some(got), 1u);
  EXPECT_EQ(got[0], std::byte{0});
  shaped.clock.sleep(microseconds(300));
  EXPECT_EQ(shaped.link->receive_some(got), 300u);
  EXPECT_EQ(got[299], static_cast<std::byte>(300));
  EXPECT_EQ(shaped.link->receive_some(std::span(got).first(1)), 1u);
  shaped.clock.sleep(seconds(1));
  EXPECT_EQ(shaped.link->receive_some(got), 698u);
  shaped.far->end(shaped.clock.now());
  EXPECT_EQ(shaped.link->receive_some(got), 0u);
}

TEST(ShapedLink, IsReadableWhenTheFirstByteHasArrived) {
  Shaped shaped({1e6, 200});
  shaped.far->say(shaped.begin(), 10);
  expect_error(ErrorCode::kTimeout, "nothing arrived for 200 ms",
               [&] { (void)shaped.link->wait_readable(milliseconds(200)); });
  EXPECT_DOUBLE_EQ(shaped.elapsed(), 0.2);
  EXPECT_TRUE(shaped.link->wait_readable(milliseconds(1)));
  EXPECT_DOUBLE_EQ(shaped.elapsed(), 0.2 + 1e-6);
}

TEST(ShapedLink, WaitingForTheShapeIsNoStall) {
  constexpr std::size_t kBytes = 20'000;
  Shaped shaped({1e3, 1000});
  shaped.link->set_stall_timeout(milliseconds(50));
  shaped.link->send(Bytes(kBytes));
  shaped.far->say(shaped.clock.now(), kBytes);
  shaped.expect_bytes(kBytes);
  expect_near(shaped.elapsed(), 20 + 21);
  const Time last = shaped.clock.now();
  Bytes one(1);
  expect_error(ErrorCode::kTimeout, "no byte moved for 50 ms, with 1 bytes left to receive",
               [&] { shaped.link->receive(one); });
  EXPECT_EQ(shaped.clock.now(), last + milliseconds(50));
}

TEST(ShapedLink, GivesTheBytesBeforeThePeersDeathAndThenItsError) {
  Shaped shaped({1e6, 100});
  shaped.far->say(shaped.begin(), 1000);
  shaped.far->end(shaped.begin(), Error(ErrorCode::kProtocol, "a surplus of descriptors"));
  EXPECT_TRUE(shaped.link->wait_readable(std::nullopt));
  shaped.expect_bytes(1000);
  Bytes one(1);
  for (int i = 0; i < 2; ++i) {
    expect_error(ErrorCode::kProtocol, "a surplus of descriptors",
                 [&] { shaped.link->receive(one); });
    expect_error(ErrorCode::kProtocol, "a surplus of descriptors",
                 [&] { (void)shaped.link->wait_readable(std::nullopt); });
  }
}

TEST(ShapedLink, TellsACleanEndFromPendingBytes) {
  Shaped shaped({1e6, 100});
  shaped.far->say(shaped.begin(), 1000);
  shaped.far->end(shaped.begin());
  EXPECT_TRUE(shaped.link->wait_readable(std::nullopt));
  shaped.expect_bytes(900);
  EXPECT_TRUE(shaped.link->wait_readable(std::nullopt));
  Bytes more(200);
  expect_error(ErrorCode::kConnectionLost, "100 bytes left to receive: the peer closed it",
               [&] { shaped.link->receive(more); });
  EXPECT_FALSE(shaped.link->wait_readable(std::nullopt));
}

TEST(ShapedLink, CloseEndsEveryWaitForTheShape) {
  Shaped shaped({1e3, 1000}, 2);  // this thread never waits by the clock: time stands still
  shaped.far->say(shaped.begin(), 10'000);
  Background sender([&] {
    expect_error(ErrorCode::kConnectionLost, "100000 bytes left to send: it was closed on this",
                 [&] { shaped.link->send(Bytes(100'000)); });
  });
  Background receiver([&] {
    Bytes got(10'000);
    expect_error(ErrorCode::kConnectionLost, "10000 bytes left to receive: it was closed on this",
                 [&] { shaped.link->receive(got); });
    EXPECT_FALSE(shaped.link->wait_readable(std::nullopt));
  });
  shaped.clock.await_waiters(3);
  shaped.link->close();
  sender.join();
  receiver.join();
  EXPECT_EQ(shaped.link->bytes_sent(), 0u);
}

TEST(ShapedLink, AStopEndsAWaitForTheShape) {
  const StopSource source;
  LinkOptions options{.stop = source.token()};
  options.shape = {1e3, 0};
  const LinkEnds ends = make_inproc_pair(options);
  source.request_stop();
  expect_error(ErrorCode::kInterrupted, "", [&] { ends.first->send(Bytes(100'000)); });
}

TEST(ShapedLink, SendsDescriptorsAndTakesNone) {
  LinkEnds ends = inherited(Transport::kShm);
  const std::string peer = ends.first->peer();
  const auto shaped = shape_link(std::move(ends.first), {1e6, 0});
  EXPECT_TRUE(shaped->traits().shares_memory);
  EXPECT_EQ(shaped->transport(), Transport::kShm);
  EXPECT_EQ(shaped->peer(), peer);
  const Bytes byte(1);
  const std::span<const std::byte> parts[] = {byte};
  shaped->send_with_descriptor(parts, STDIN_FILENO);
  Bytes got(1);
  ends.second->receive(got);
  EXPECT_TRUE(ends.second->take_descriptor());
  EXPECT_EQ(shaped->bytes_sent(), 1u);

  ends.second->send_with_descriptor(parts, STDIN_FILENO);
  expect_error(ErrorCode::kProtocol, "descriptor that nobody asked for",
               [&] { shaped->receive(got); });
}

TEST(ShapedLink, SendsDescriptorsOnlyWhereTheLinkDoes) {
  const auto shaped = shape_link(make_inproc_pair().first, {1e6, 0});
  EXPECT_FALSE(shaped->traits().shares_memory);
  expect_error(ErrorCode::kUnsupported, "no descriptors",
               [&] { shaped->send_with_descriptor({}, 0); });
}

TEST(ShapedLink, RefusesAShapeOutOfRange) {
  expect_error(ErrorCode::kInvalidArgument, "bandwidth",
               [] { (void)shape_link(make_inproc_pair().first, {}); });
}

}  // namespace
}  // namespace airlock::shaped_link_test
