#include "airlock/link/delay_line.h"

#include <algorithm>

#include "tests/link/link_support.h"

namespace airlock::delay_line_test {
namespace {

using Time = ShaperClock::Time;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr Time kBegin = Time(std::chrono::hours(1000));
constexpr double kMegabyte = 1e6;  // a second: a byte takes a microsecond

TEST(SerialLine, CarriesBytesOneAfterTheOther) {
  SerialLine line(kMegabyte);
  EXPECT_EQ(line.carry(kBegin, 100), kBegin + microseconds(100));
  EXPECT_EQ(line.carry(kBegin + microseconds(30), 50), kBegin + microseconds(150));
  EXPECT_EQ(line.carry(kBegin + microseconds(150), 1), kBegin + microseconds(151));
  EXPECT_EQ(line.carry(kBegin + microseconds(200), 10), kBegin + microseconds(210));
}

TEST(SerialLine, AddsUpNoRounding) {
  SerialLine line(3e9);  // a byte takes a third of a nanosecond
  Time end;
  for (int i = 0; i < 3'000'000; ++i) end = line.carry(kBegin, 1);
  EXPECT_EQ(end, kBegin + milliseconds(1));
}

class DelayLineTest : public ::testing::Test {
 protected:
  static constexpr milliseconds kDelay{5};

  void put(std::size_t bytes, Time ready) {
    for (std::size_t i = 0; i < bytes; ++i) {
      ASSERT_FALSE(line_.space().empty());
      line_.space().front() = static_cast<std::byte>(written_++);
      line_.add(1, ready);
    }
  }
  void expect_front(std::size_t bytes) {
    while (bytes > 0) {
      const auto front = line_.front(bytes);
      for (const std::byte byte : front) ASSERT_EQ(byte, static_cast<std::byte>(read_++));
      bytes -= front.size();
      line_.drop(front.size());
    }
  }

  DelayLine line_{kMegabyte, kDelay, 1000};
  unsigned written_ = 0;
  unsigned read_ = 0;
};

TEST_F(DelayLineTest, KnowsWhenEachByteArrives) {
  put(100, kBegin);
  put(50, kBegin + microseconds(10));
  ASSERT_EQ(line_.run(), 150u);
  EXPECT_EQ(line_.due(1), kBegin + microseconds(1) + kDelay);
  EXPECT_EQ(line_.due(150), kBegin + microseconds(150) + kDelay);
  expect_front(100);
  EXPECT_EQ(line_.due(1), kBegin + microseconds(101) + kDelay);
}

TEST_F(DelayLineTest, SeparatesBytesByThePausesBetweenThem) {
  put(100, kBegin);
  put(50, kBegin + milliseconds(1));
  ASSERT_EQ(line_.run(), 100u);
  expect_front(100);
  ASSERT_EQ(line_.run(), 50u);
  EXPECT_EQ(line_.due(50), kBegin + milliseconds(1) + microseconds(50) + kDelay);
  expect_front(20);
  put(7, kBegin + milliseconds(1));
  EXPECT_EQ(line_.run(), 37u);
  expect_front(37);
  EXPECT_TRUE(line_.empty());
  EXPECT_EQ(line_.run(), 0u);
}

TEST_F(DelayLineTest, GoesOnWhereTheLineIsBusyThoughAllBytesWereTaken) {
  put(100, kBegin);
  expect_front(100);
  put(10, kBegin + microseconds(100));
  EXPECT_EQ(line_.due(10), kBegin + microseconds(110) + kDelay);
}

TEST_F(DelayLineTest, CountsWhatHasArrived) {
  put(100, kBegin);
  EXPECT_EQ(line_.arrived(kBegin), 0u);
  EXPECT_EQ(line_.arrived(line_.due(1) - nanoseconds(1)), 0u);
  EXPECT_EQ(line_.arrived(line_.due(1)), 1u);
  EXPECT_EQ(line_.arrived(kBegin + kDelay + nanoseconds(50'500)), 50u);
  EXPECT_EQ(line_.arrived(kBegin + std::chrono::hours(1)), 100u);
  expect_front(30);
  EXPECT_EQ(line_.arrived(kBegin + kDelay + nanoseconds(50'500)), 20u);
  expect_front(70);
  EXPECT_EQ(line_.arrived(kBegin + std::chrono::hours(1)), 0u);
}

TEST_F(DelayLineTest, KeepsBytesInOrderAroundItsEnd) {
  for (std::size_t round = 0; round < 50; ++round) {
    put(700, kBegin);
    expect_front(693);
    expect_front(7);
  }
}

TEST_F(DelayLineTest, IsFullAtItsCapacityAndRoomyAgainWithHalfOfItTaken) {
  put(1000, kBegin);
  EXPECT_TRUE(line_.space().empty());
  EXPECT_FALSE(line_.roomy());
  expect_front(499);
  EXPECT_FALSE(line_.roomy());
  expect_front(1);
  EXPECT_TRUE(line_.roomy());
}

TEST(DelayLine, IsFullOfPausesBeforeItForgetsOne) {
  DelayLine line(kMegabyte, milliseconds(5), 1 << 20);
  std::size_t pauses = 0;
  Time now = kBegin;
  while (!line.space().empty()) {
    line.add(1, now);
    now += microseconds(10);
    ASSERT_LT(++pauses, std::size_t{1} << 20);
  }
  EXPECT_FALSE(line.roomy());
  for (std::size_t i = 0; i < pauses; ++i) {
    ASSERT_EQ(line.run(), 1u);
    ASSERT_EQ(line.due(1), kBegin + microseconds(10 * i + 1) + milliseconds(5));
    line.drop(1);
  }
  EXPECT_TRUE(line.empty());
  EXPECT_TRUE(line.roomy());
}

}  // namespace
}  // namespace airlock::delay_line_test
