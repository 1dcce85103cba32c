#include "airlock/link/wait.h"

#include <deque>

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>

#include "tests/link/link_support.h"

namespace airlock::wait_test {
namespace {

TEST(Deadline, NeverEndsWithoutALimitOrWithAnAbsurdOne) {
  EXPECT_FALSE(Deadline(std::nullopt).left().has_value());
  EXPECT_FALSE(Deadline(std::chrono::milliseconds::max()).left().has_value());
  EXPECT_FALSE(limit_of(std::chrono::milliseconds(0)).has_value());
}

TEST(Deadline, HasNothingLeftOnceItPassed) {
  EXPECT_EQ(Deadline(std::chrono::milliseconds(0)).left(), std::chrono::milliseconds(0));
  EXPECT_LE(*Deadline(kLong).left(), kLong);
}

using std::chrono::milliseconds;

TEST(Patience, IsSpentByWaitingAndNotByOthersTime) {
  Patience patience(milliseconds(100), 1000);
  EXPECT_EQ(patience.left(), milliseconds(100));
  patience.spend(milliseconds(60));
  EXPECT_EQ(patience.left(), milliseconds(40));
  patience.spend(std::chrono::microseconds(39'500));
  EXPECT_FALSE(patience.is_spent());
  patience.spend(milliseconds(1));
  EXPECT_TRUE(patience.is_spent());
  EXPECT_EQ(patience.left(), milliseconds(0));
}

TEST(Patience, IsEarnedBackAtTheLeastRateAndUpToTheLimit) {
  Patience patience(milliseconds(100), 1000);
  patience.spend(milliseconds(80));
  patience.earn(30);
  EXPECT_EQ(patience.left(), milliseconds(50));
  patience.earn(1'000'000);
  EXPECT_EQ(patience.left(), milliseconds(100));
}

TEST(Patience, OfNBytesIsTheLimitAndTheirTimeAtTheLeastRate) {
  for (const std::int64_t bytes : {1, 10, 1000}) {
    Patience patience(milliseconds(100), 1000);
    std::int64_t waited = 0;
    for (std::int64_t moved = 0; !patience.is_spent(); ++waited) {
      patience.spend(milliseconds(1));
      if (waited % 50 != 49 || moved == bytes) continue;  // a byte every 50 ms is far too slow
      patience.earn(1);
      ++moved;
    }
    EXPECT_LE(waited, 100 + bytes);
  }
  Patience patience(milliseconds(100), 1000);
  for (int i = 0; i < 100'000; ++i) {  // at twice the rate it is never spent
    patience.spend(milliseconds(1));
    patience.earn(2);
    ASSERT_FALSE(patience.is_spent());
  }
}

TEST(Patience, WithoutARateIsEarnedBackByAnyByte) {
  Patience patience(milliseconds(100), 0);
  patience.spend(milliseconds(99));
  patience.earn(0);
  EXPECT_EQ(patience.left(), milliseconds(1));
  patience.earn(1);
  EXPECT_EQ(patience.left(), milliseconds(100));
}

TEST(Patience, WithoutALimitIsNeverSpent) {
  Patience patience(std::nullopt, 1000);
  patience.spend(std::chrono::hours(100));
  EXPECT_FALSE(patience.left().has_value());
  EXPECT_FALSE(patience.is_spent());
  EXPECT_FALSE(Patience(milliseconds::max(), 1000).left().has_value());
}

TEST(Event, StaysSetUntilCleared) {
  Event event;
  EXPECT_FALSE(event.wait(std::chrono::milliseconds(1), {}));
  event.set();
  event.set();
  EXPECT_TRUE(event.wait(std::nullopt, {}));
  EXPECT_TRUE(event.wait(std::chrono::milliseconds(0), {}));
  event.clear();
  EXPECT_FALSE(event.wait(std::chrono::milliseconds(0), {}));
}

TEST(Alarm, GoesOffWhenSetOrNotBeforeItsTime) {
  Alarm alarm;
  EXPECT_FALSE(alarm.is_set());
  EXPECT_FALSE(alarm.wait(Alarm::Time(), {}));
  const Alarm::Time soon = std::chrono::steady_clock::now() + std::chrono::microseconds(300);
  EXPECT_FALSE(alarm.wait(soon, {}));
  EXPECT_GE(std::chrono::steady_clock::now(), soon);
  alarm.set();
  EXPECT_TRUE(alarm.is_set());
  EXPECT_TRUE(alarm.wait(std::nullopt, {}));
  EXPECT_TRUE(alarm.wait(std::chrono::steady_clock::now() + kLong, {}));
  alarm.clear();
  EXPECT_FALSE(alarm.wait(soon, {}));
}

TEST(Alarm, IsOverriddenByAStop) {
  const Alarm alarm;
  const StopSource source;
  source.request_stop();
  expect_error(ErrorCode::kInterrupted, "",
               [&] { (void)alarm.wait(std::chrono::steady_clock::now() + kLong, source.token()); });
}

TEST(WaitFor, TellsWhichDescriptorWokeIt) {
  Event first;
  Event second;
  second.set();
  EXPECT_EQ(wait_for(first.fd(), POLLIN, kLong, {}, second.fd()), 0);
  first.set();
  EXPECT_EQ(wait_for(first.fd(), POLLIN, kLong, {}, second.fd()), POLLIN);
  EXPECT_EQ(wait_for(-1, 0, std::chrono::milliseconds(1), {}), std::nullopt);
}

TEST(SpinFor, SeesWhatIsThereAndGivesUpOnWhatIsNot) {
  Event event;
  EXPECT_FALSE(spin_for(event.fd(), POLLIN));
  event.set();
  EXPECT_TRUE(spin_for(event.fd(), POLLIN));
}

TEST(SpinFor, IsWorthItOnlyWhereBothSidesHaveCores) {
  EXPECT_FALSE(worth_spinning(1));
  EXPECT_FALSE(worth_spinning(7));
  EXPECT_TRUE(worth_spinning(8));
  EXPECT_TRUE(worth_spinning(CPU_SETSIZE));
}

TEST(UsableCores, FollowTheAffinityOfTheThread) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(usable_cores(), CPU_COUNT(&before));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int core = 0; CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const int alone = usable_cores();
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(alone, 1);
}

TEST(WaitFor, PrefersAStopToWhatIsReady) {
  Event ready;
  ready.set();
  const StopSource source;
  EXPECT_EQ(wait_for(ready.fd(), POLLIN, std::nullopt, source.token()), POLLIN);
  source.request_stop();
  expect_error(ErrorCode::kInterrupted, "",
               [&] { (void)wait_for(ready.fd(), POLLIN, std::nullopt, source.token()); });
  EXPECT_EQ(wait_for(ready.fd(), POLLIN, std::nullopt, {}), POLLIN);
}

TEST(WaitFor, HearsEverySourceInARow) {
  for (std::size_t asked = 0; asked < StopToken::kMostSources; ++asked) {
    std::deque<StopSource> sources(1);
    while (sources.size() < StopToken::kMostSources) sources.emplace_back(sources.back().token());
    const StopToken token = sources.back().token();
    const Background stopper([&] { sources[asked].request_stop(); });
    expect_error(ErrorCode::kInterrupted, "", [&] { (void)wait_for(-1, 0, std::nullopt, token); });
  }
}

}  // namespace
}  // namespace airlock::wait_test
