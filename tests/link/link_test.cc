#include "airlock/link/link.h"

#include <atomic>
#include <cstring>

#include <gtest/gtest.h>

#include "tests/link/link_support.h"

namespace airlock::link_test {
namespace {

using ConstParts = std::vector<std::span<const std::byte>>;
using Parts = std::vector<std::span<std::byte>>;

// Cuts `bytes` at sizes that hit empty parts, odd offsets and more parts than one system call
// takes.
template <typename Span, typename Container>
std::vector<Span> scatter(Container& bytes, std::size_t step) {
  std::vector<Span> parts = {Span()};
  std::size_t size = 0;
  for (std::size_t offset = 0; offset < bytes.size();) {
    size = (size * 7 + step) % (bytes.size() / 40 + 2);
    const std::size_t count = std::min(size, bytes.size() - offset);
    parts.push_back(Span(bytes).subspan(offset, count));
    offset += count;
    ++step;
  }
  return parts;
}

class LinkTest : public ::testing::TestWithParam<LinkKind> {
 protected:
  LinkTest() {
    std::tie(a_, b_) = GetParam().open({.stop = stop_a_.token()}, {.stop = stop_b_.token()});
  }

  const StopSource stop_a_;
  const StopSource stop_b_;
  std::unique_ptr<Link> a_;
  std::unique_ptr<Link> b_;
};

TEST_P(LinkTest, CarriesScatteredPartsInOrderBothWaysAtOnce) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{1} << 16, std::size_t{1} << 20,
        std::size_t{64} << 20}) {
    SCOPED_TRACE(size);
    const Bytes forth = pattern(size, 1);
    const Bytes back = pattern(size, 2);
    Bytes got_forth(size);
    Bytes got_back(size);
    Background sender_a([&] { a_->send(scatter<std::span<const std::byte>>(forth, 3)); });
    Background sender_b([&] { b_->send(scatter<std::span<const std::byte>>(back, 5)); });
    Background receiver_a([&] { a_->receive(scatter<std::span<std::byte>>(got_back, 11)); });
    b_->receive(scatter<std::span<std::byte>>(got_forth, 2));
    sender_a.join();
    sender_b.join();
    receiver_a.join();
    EXPECT_TRUE(forth == got_forth);
    EXPECT_TRUE(back == got_back);
  }
}

TEST_P(LinkTest, CountsEveryByteOnceOnBothSides) {
  const Bytes big = pattern(3 << 20, 1);
  Bytes got(big.size());
  Background sender([&] {
    a_->send(big);
    a_->send(std::span(big).first(17));
  });
  b_->receive(got);
  b_->receive(std::span(got).first(17));
  sender.join();
  b_->send(std::span<const std::byte>(big).first(5));
  a_->receive(std::span(got).first(5));
  EXPECT_EQ(a_->bytes_sent(), big.size() + 17);
  EXPECT_EQ(b_->bytes_received(), big.size() + 17);
  EXPECT_EQ(b_->bytes_sent(), 5u);
  EXPECT_EQ(a_->bytes_received(), 5u);
}

TEST_P(LinkTest, BuffersASmallMessageUntilItIsRead) {
  const Bytes message = pattern(32 << 10, 4);
  a_->send(message);
  a_->send(std::span<const std::byte>(message).first(100));
  Bytes got(message.size() + 100);
  b_->receive(got);
  EXPECT_TRUE(std::equal(message.begin(), message.end(), got.begin()));
}

TEST_P(LinkTest, KeepsOrderWhenALargeMessageFollowsUnreadSmallOnes) {
  const Bytes message = pattern(4 << 20, 5);
  const std::span<const std::byte> all(message);
  Background sender([&] {
    a_->send(all.first(1000));
    a_->send(all.subspan(1000, 3000));
    a_->send(all.subspan(4000));
  });
  Bytes got(message.size());
  for (std::size_t offset = 0, step = 1; offset < got.size(); offset += step, step = step * 3 + 1) {
    step = std::min(step, got.size() - offset);
    b_->receive(std::span(got).subspan(offset, step));
  }
  EXPECT_TRUE(message == got);
}

TEST_P(LinkTest, StreamsManySmallMessagesThroughALimitedBuffer) {
  const Bytes message = pattern(2 << 20, 6);
  Background sender([&] {
    for (std::size_t i = 0; i < message.size(); i += 512) {
      a_->send(std::span<const std::byte>(message).subspan(i, 512));
    }
  });
  Bytes got(message.size());
  for (std::size_t i = 0; i < got.size(); i += 2048) {
    b_->receive(std::span(got).subspan(i, 2048));
  }
  EXPECT_TRUE(message == got);
}

TEST_P(LinkTest, TakesWhatIsThereInWhateverPortions) {
  const Bytes message = pattern(3 << 20, 8);
  Background sender([&] {
    b_->send(std::span<const std::byte>(message).first(100));
    b_->send(std::span<const std::byte>(message).subspan(100));
    b_->close();
  });
  Bytes got(message.size());
  EXPECT_EQ(a_->receive_some(std::span(got).first(1)), 1u);
  a_->receive(std::span(got).subspan(1, 1000));
  std::size_t count = 1001;
  while (count < got.size()) {
    const std::size_t taken = a_->receive_some(std::span(got).subspan(count));
    ASSERT_GT(taken, 0u);
    count += taken;
  }
  Bytes more(1);
  EXPECT_EQ(a_->receive_some(more), 0u);
  EXPECT_EQ(a_->receive_some(more), 0u);
  EXPECT_EQ(a_->bytes_received(), message.size());
  EXPECT_TRUE(message == got);
}

TEST_P(LinkTest, FailsToTakeWhatIsThereAsItFailsToReceive) {
  Bytes got(10);
  a_->set_stall_timeout(kShort);
  expect_error(ErrorCode::kTimeout, "no byte moved for 50 ms",
               [&] { (void)a_->receive_some(got); });
  a_->set_stall_timeout(std::chrono::milliseconds(0));
  Background closer([&] {
    std::this_thread::sleep_for(kShort);
    a_->close();
  });
  expect_error(ErrorCode::kConnectionLost, "closed on this side",
               [&] { (void)a_->receive_some(got); });
}

TEST_P(LinkTest, TellsTheEndOfTheConversationFromPendingBytes) {
  const Bytes one(1);
  b_->send(one);
  b_->close();
  EXPECT_TRUE(a_->wait_readable(kLong));
  Bytes got(1);
  a_->receive(got);
  EXPECT_FALSE(a_->wait_readable(kLong));
  EXPECT_FALSE(a_->wait_readable(std::nullopt));
}

TEST_P(LinkTest, LosesTheConnectionWhenThePeerClosesInMidMessage) {
  const Bytes half = pattern(100, 1);
  b_->send(half);
  b_.reset();
  Bytes got(200);
  expect_error(ErrorCode::kConnectionLost, "100 bytes left to receive", [&] { a_->receive(got); });
  EXPECT_EQ(a_->bytes_received(), 100u);
}

TEST_P(LinkTest, LosesTheConnectionWhenThePeerDiesInMidMessage) {
  const Bytes message = pattern(64 << 20, 1);
  Background reader([&] {
    Bytes some(1000);
    b_->receive(some);
    b_.reset();
  });
  expect_error(ErrorCode::kConnectionLost, a_->peer(), [&] { a_->send(message); });
  EXPECT_LT(a_->bytes_sent(), message.size());
}

TEST_P(LinkTest, TimesOutWhenNothingArrives) {
  a_->set_stall_timeout(kShort);
  Bytes got(10);
  const Bytes three(3);
  expect_error(ErrorCode::kTimeout, "10 bytes left to receive", [&] { a_->receive(got); });
  b_->send(three);
  expect_error(ErrorCode::kTimeout, "7 bytes left to receive", [&] { a_->receive(got); });
  expect_error(ErrorCode::kTimeout, "nothing arrived for 50 ms",
               [&] { (void)a_->wait_readable(kShort); });
}

TEST_P(LinkTest, TimesOutWhenThePeerStopsReading) {
  a_->set_stall_timeout(kShort);
  const Bytes message(64 << 20);
  expect_error(ErrorCode::kTimeout, "no byte moved for 50 ms", [&] { a_->send(message); });
  EXPECT_LT(a_->bytes_sent(), message.size());
}

/// Moves a byte every now and then on a thread of its own, until it is destroyed or cannot any
/// more.
class Drip {
 public:
  explicit Drip(std::function<void(std::span<std::byte>)> move)
      : thread_([this, move = std::move(move)] {
          Bytes byte(1);
          while (!ended_ && !catch_error([&] { move(byte); }).thrown) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          }
        }) {}
  ~Drip() {
    ended_ = true;
    thread_.join();
  }
  Drip(const Drip&) = delete;
  Drip& operator=(const Drip&) = delete;

 private:
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

TEST_P(LinkTest, TimesOutWhenWhatArrivesDrips) {
  a_->set_stall_timeout(kShort);
  a_->set_least_rate(1e6);
  const Drip drip([&](std::span<std::byte> byte) { b_->send(byte); });
  Bytes got(100'000);
  EXPECT_TRUE(a_->wait_readable(kLong));
  expect_error(ErrorCode::kTimeout, "fewer than 1000000 bytes a second moved",
               [&] { a_->receive(got); });
  a_->close();
}

TEST_P(LinkTest, AMessageThatDripsIsOneThoughItIsReceivedInPieces) {
  a_->set_stall_timeout(kShort);
  a_->set_least_rate(1e6);
  const Drip drip([&](std::span<std::byte> byte) { b_->send(byte); });
  EXPECT_TRUE(a_->wait_readable(kLong));
  Bytes byte(1);
  expect_error(ErrorCode::kTimeout, "fewer than 1000000 bytes a second moved", [&] {
    for (int i = 0; i < 100'000; ++i) a_->receive(byte);
  });
  a_->close();
}

TEST_P(LinkTest, TimesOutWhenThePeerReadsInDrips) {
  a_->set_stall_timeout(kShort);
  a_->set_least_rate(1e6);
  const Drip drip([&](std::span<std::byte> byte) { b_->receive(byte); });
  const Bytes message(64 << 20);
  expect_error(ErrorCode::kTimeout, "bytes left to send", [&] { a_->send(message); });
  a_->close();
}

TEST_P(LinkTest, WaitsWithoutLimitBetweenMessagesInSpiteOfTheStallTimeout) {
  a_->set_stall_timeout(std::chrono::milliseconds(1));
  Background later([&] {
    std::this_thread::sleep_for(kShort);
    b_->send(Bytes(1));
  });
  EXPECT_TRUE(a_->wait_readable(std::nullopt));
}

TEST_P(LinkTest, CloseFromAnotherThreadWakesBlockedSendsAtBothEnds) {
  Background closer([&] {
    std::this_thread::sleep_for(kShort);
    a_->close();
  });
  const Bytes message(64 << 20);
  Background here([&] {
    expect_error(ErrorCode::kConnectionLost, "bytes left to send", [&] { a_->send(message); });
  });
  expect_error(ErrorCode::kConnectionLost, "bytes left to send", [&] { b_->send(message); });
}

TEST_P(LinkTest, CloseFromAnotherThreadWakesBlockedReceivesAtBothEnds) {
  Background closer([&] {
    std::this_thread::sleep_for(kShort);
    a_->close();
  });
  Background here([&] {
    Bytes got(10);
    expect_error(ErrorCode::kConnectionLost, "closed on this side", [&] { a_->receive(got); });
  });
  Bytes got(10);
  expect_error(ErrorCode::kConnectionLost, "the peer closed it", [&] { b_->receive(got); });
}

TEST_P(LinkTest, CloseEndsAWaitForTheNextMessageOnBothSides) {
  Background there([&] { EXPECT_FALSE(b_->wait_readable(std::nullopt)); });
  Background closer([&] {
    std::this_thread::sleep_for(kShort);
    a_->close();
  });
  EXPECT_FALSE(a_->wait_readable(std::nullopt));
}

TEST_P(LinkTest, RefusesToCarryAfterCloseHere) {
  a_->close();
  a_->close();
  Bytes one(1);
  expect_error(ErrorCode::kConnectionLost, "closed on this side", [&] { a_->send(one); });
  expect_error(ErrorCode::kConnectionLost, "closed on this side", [&] { a_->receive(one); });
  EXPECT_EQ(a_->bytes_sent(), 0u);
}

TEST_P(LinkTest, AStopEndsBlockedCalls) {
  Background stopper([&] {
    std::this_thread::sleep_for(kShort);
    stop_a_.request_stop();
  });
  Background sending([&] {
    const Bytes message(64 << 20);
    expect_error(ErrorCode::kInterrupted, "", [&] { a_->send(message); });
  });
  Background waiting([&] {
    expect_error(ErrorCode::kInterrupted, "", [&] { (void)a_->wait_readable(std::nullopt); });
  });
}

TEST_P(LinkTest, AStopEndsAReceive) {
  stop_a_.request_stop();
  Bytes got(1);
  expect_error(ErrorCode::kInterrupted, "", [&] { a_->receive(got); });
  expect_error(ErrorCode::kInterrupted, "", [&] { (void)a_->receive_some(got); });
}

TEST_P(LinkTest, AStopHereLeavesTheOtherEndAlone) {
  stop_a_.request_stop();
  Bytes got(1);
  expect_error(ErrorCode::kInterrupted, "", [&] { a_->receive(got); });
  b_->send(got);
  expect_error(ErrorCode::kTimeout, "", [&] { (void)b_->wait_readable(kShort); });
  a_->close();
  EXPECT_FALSE(b_->wait_readable(kLong));
}

TEST_P(LinkTest, AStopEndsTheLinksThatFollowItsSourceAndNoOthers) {
  const StopSource program;
  const StopSource ours(program.token());
  const StopSource theirs(program.token());
  const auto echo_once = [](Link& link) {
    Bytes got(1);
    link.receive(got);
    link.send(got);
  };
  const LinkEnds one = GetParam().open({.stop = ours.token()}, {});
  const LinkEnds other = GetParam().open({.stop = theirs.token()}, {});
  Bytes got(1);
  ours.request_stop();
  expect_error(ErrorCode::kInterrupted, "", [&] { one.first->receive(got); });
  {
    const Background echo([&] { echo_once(*other.second); });
    other.first->send(got);
    other.first->receive(got);
  }
  const Background stopper([&] { program.request_stop(); });
  expect_error(ErrorCode::kInterrupted, "", [&] { other.first->receive(got); });
}

TEST_P(LinkTest, NoStopIsMissedBetweenALookAndASleep) {
  for (int round = 0; round < 20; ++round) {
    const StopSource source;
    const LinkEnds ends = GetParam().open({.stop = source.token()}, {});
    const Background stopper([&] { source.request_stop(); });
    const Background sending([&] {
      const Bytes message(16 << 20);
      expect_error(ErrorCode::kInterrupted, "", [&] { ends.first->send(message); });
    });
    Bytes got(1);
    expect_error(ErrorCode::kInterrupted, "", [&] { ends.first->receive(got); });
  }
}

TEST_P(LinkTest, APeerThatFloodsAndReadsNothingLearnsOfAClose) {
  const Bytes message(4 << 20);
  const auto flood = [&](Link& link) {
    while (true) link.send(message);
  };
  for (int round = 0; round < 10; ++round) {
    const LinkEnds ends = GetParam().open({}, {.stall_timeout = kLong});
    const Background here([&] { (void)catch_error([&] { flood(*ends.first); }); });
    const Background there(
        [&] { expect_error(ErrorCode::kConnectionLost, "", [&] { flood(*ends.second); }); });
    Bytes got(100'000);
    ends.first->receive(got);
    ends.first->close();
  }
}

TEST_P(LinkTest, TellsItsTraits) {
  EXPECT_EQ(a_->traits(), GetParam().first);
  EXPECT_EQ(b_->traits(), GetParam().second);
}

TEST_P(LinkTest, StallsAsItsOptionsSay) {
  const LinkEnds ends = GetParam().open({.stall_timeout = kShort}, {.stall_timeout = kShort});
  Bytes got(1);
  for (const auto* end : {&ends.first, &ends.second}) {
    expect_error(ErrorCode::kTimeout, "no byte moved for 50 ms", [&] { (*end)->receive(got); });
  }
}

TEST_P(LinkTest, CarriesRequestsAndRepliesOneAfterTheOther) {
  Background worker([&] {
    std::uint32_t value = 0;
    while (b_->wait_readable(std::nullopt)) {
      b_->receive(std::as_writable_bytes(std::span(&value, 1)));
      ++value;
      b_->send(std::as_bytes(std::span(&value, 1)));
    }
  });
  for (std::uint32_t i = 0; i < 1000; ++i) {
    std::uint32_t answer = 0;
    a_->send(std::as_bytes(std::span(&i, 1)));
    a_->receive(std::as_writable_bytes(std::span(&answer, 1)));
    ASSERT_EQ(answer, i + 1);
  }
  a_->close();
}

TEST_P(LinkTest, LeavesNoDescriptorOpen) {
  a_.reset();
  b_.reset();
  const std::size_t before = open_descriptors();
  { const LinkEnds ends = GetParam().make(); }
  EXPECT_EQ(open_descriptors(), before);
}

INSTANTIATE_TEST_SUITE_P(Kinds, LinkTest, ::testing::ValuesIn(link_kinds()),
                         [](const auto& test) { return test.param.name; });
INSTANTIATE_TEST_SUITE_P(Shaped, LinkTest, ::testing::ValuesIn(shaped_link_kinds()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace airlock::link_test
