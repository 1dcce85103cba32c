#include "airlock/core/threads.h"

#include <atomic>
#include <vector>

#include <gtest/gtest.h>

namespace airlock {
namespace {

TEST(ParallelFor, VisitsEveryIndexOnce) {
  for (const std::int64_t count : {0, 1, 2, 3, 1000}) {
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
    parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) visits[static_cast<std::size_t>(i)]++;
    });
    for (const auto& visit : visits) EXPECT_EQ(visit, 1);
  }
}

TEST(ParallelFor, StaysOnTheCallerBelowTheGrain) {
  int calls = 0;
  parallel_for(100, 100, [&](std::int64_t, std::int64_t) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(Threads, ZeroTakesBackWhatWasSet) {
  const int at_start = threads();
  set_threads(at_start + 3);
  EXPECT_EQ(threads(), at_start + 3);
  set_threads(0);
  EXPECT_EQ(threads(), at_start);
}

}  // namespace
}  // namespace airlock
