#include "airlock/core/threads.h"

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::threads_test {
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

TEST(ParallelTasks, RunEveryIndexOnceOnAThreadThatTheyCanTell) {
  const int at_start = threads();
  set_threads(3);
  for (const std::int64_t count : {0, 1, 2, 3, 1000}) {
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
    std::array<std::atomic<int>, 3> running{};
    parallel_tasks(count, [&](std::int64_t index, int thread) {
      EXPECT_EQ(running.at(static_cast<std::size_t>(thread))++, 0) << "two at once are one thread";
      visits[static_cast<std::size_t>(index)]++;
      running.at(static_cast<std::size_t>(thread))--;
    });
    for (const auto& visit : visits) EXPECT_EQ(visit, 1);
  }
  set_threads(0);
  EXPECT_EQ(threads(), at_start);
}

TEST(ParallelTasks, WithinAParallelLoopStayOnItsThreads) {
  set_threads(2);
  std::atomic<int> tasks{0};
  parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
    const auto outer = std::this_thread::get_id();
    parallel_tasks(3, [&](std::int64_t, int thread) {
      EXPECT_EQ(std::this_thread::get_id(), outer);
      EXPECT_EQ(thread, 0);
      ++tasks;
    });
  });
  EXPECT_EQ(tasks, 6);
  set_threads(0);
}

TEST(Threads, ZeroTakesBackWhatWasSet) {
  const int at_start = threads();
  set_threads(at_start + 3);
  EXPECT_EQ(threads(), at_start + 3);
  set_threads(0);
  EXPECT_EQ(threads(), at_start);
}

TEST(Threads, MoreThanAMachineCanUseAreRefused) {
  EXPECT_GE(most_threads(), 64);
  EXPECT_LE(threads(), most_threads());
  for (const int count : {-1, most_threads() + 1, 100000}) {
    const int before = threads();
    EXPECT_THROW(set_threads(count), Error) << count;
    EXPECT_EQ(threads(), before);
  }
}

}  // namespace
}  // namespace airlock::threads_test
