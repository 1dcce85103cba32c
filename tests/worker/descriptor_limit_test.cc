#include "airlock/worker/descriptor_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace airlock::descriptor_limit_test {
namespace {

TEST(DescriptorLimit, LeavesRoomForWhatIsOpenAndForGreetings) {
  EXPECT_EQ(sessions_that_fit(64, 16, 10, 1024), 64);
  EXPECT_EQ(sessions_that_fit(64, 16, 10, 64), 64 - 16 - 10 - kSpareDescriptors);
  EXPECT_EQ(sessions_that_fit(64, 16, 10, 40), 0);
  EXPECT_EQ(sessions_that_fit(64, 16, 1L << 40, 40), 0);
}

TEST(DescriptorLimit, IsRaisedToWhatIsNeeded) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  if (before.rlim_max < 400) GTEST_SKIP() << "the hard limit is " << before.rlim_max;
  const rlimit low{64, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(make_room_for_sessions(300, 16), 300);
  rlimit raised{};
  ::getrlimit(RLIMIT_NOFILE, &raised);
  EXPECT_GE(raised.rlim_cur, 316U);
  EXPECT_EQ(raised.rlim_max, before.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace airlock::descriptor_limit_test
