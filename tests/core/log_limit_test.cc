#include "airlock/core/log_limit.h"

#include <gtest/gtest.h>

namespace airlock::log_limit_test {
namespace {

using namespace std::chrono_literals;

TEST(LogLimit, LetsABurstThroughThenALineAnIntervalAndCountsTheRest) {
  LogLimit limit(3, 1s);
  const LogLimit::Time begin{};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.admit(begin), 0U) << i;
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(limit.admit(begin + 999ms)) << i;
  EXPECT_EQ(limit.admit(begin + 1s), 1000U);
  EXPECT_FALSE(limit.admit(begin + 1500ms));
  EXPECT_EQ(limit.admit(begin + 2s), 1U);
  EXPECT_FALSE(limit.admit(begin + 2s));
}

TEST(LogLimit, SavesNoMoreThanABurstUp) {
  LogLimit limit(2, 1s);
  LogLimit::Time now{};
  EXPECT_TRUE(limit.admit(now));
  now += 1h;
  EXPECT_TRUE(limit.admit(now));
  EXPECT_TRUE(limit.admit(now));
  EXPECT_FALSE(limit.admit(now));
  EXPECT_TRUE(limit.admit(now + 1s));
}

}  // namespace
}  // namespace airlock::log_limit_test
