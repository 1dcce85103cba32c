#include "airlock/core/memory_budget.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/error.h"
#include "airlock/core/process_memory.h"

#include "tests/support/expect_error.h"

namespace airlock::memory_budget_test {
namespace {

TEST(MemoryBudget, RefusesWhatWouldPassItAndCountsNothingOfThat) {
  MemoryBudget budget(100);
  budget.take(60, "a test");
  expect_error(ErrorCode::kResourceExhausted, "41 bytes of a test: 60 of the budget of 100 bytes",
               [&] { budget.take(41, "a test"); });
  EXPECT_EQ(budget.used(), 60);
  EXPECT_NO_THROW(budget.take(40, "a test"));
  budget.give(100);
  EXPECT_EQ(budget.used(), 0);
}

TEST(MemoryBudget, AllowsMoreThanIsHeldAndNeverOverflows) {
  MemoryBudget budget;
  budget.take(50, "weights");
  budget.allow_more(10);
  EXPECT_EQ(budget.limit(), 60);
  budget.allow_more(MemoryBudget::kUnlimited);
  EXPECT_EQ(budget.limit(), MemoryBudget::kUnlimited);
}

TEST(MemoryBudget, ASharesBytesComeBackWithIt) {
  MemoryBudget budget(100);
  {
    BudgetShare share(budget, 70, "a test");
    BudgetShare moved(std::move(share));
    EXPECT_EQ(budget.used(), 70);
    EXPECT_THROW(BudgetShare(budget, 31, "a test"), Error);
    moved = BudgetShare(budget, 30, "a test");
    EXPECT_EQ(budget.used(), 30);
  }
  EXPECT_EQ(budget.used(), 0);
}

TEST(MemoryBudget, IsSharedByPoolsAndTheIdleBlocksOfOneMakeRoomForAnother) {
  MemoryBudget budget(1 << 20);
  const BufferPool first(heap_blocks(), budget);
  const BufferPool second(heap_blocks(), budget);
  Buffer most = first.acquire(1 << 19);
  { const Buffer rest = first.acquire(1 << 18); }
  EXPECT_EQ(first.bytes_idle(), std::size_t{1} << 18);
  const Buffer other = second.acquire(1 << 19);
  EXPECT_EQ(first.bytes_idle(), 0U);
  expect_error(ErrorCode::kResourceExhausted, "of a buffer", [&] { (void)second.acquire(64); });
  most.release();
  EXPECT_NO_THROW((void)second.acquire(64));
  EXPECT_LE(budget.used(), budget.limit());
}

TEST(MemoryBudget, IsNeverPassedByThreadsThatTakeAtTheSameTime) {
  MemoryBudget budget(1 << 16);
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const BufferPool pool(heap_blocks(), budget);
      for (std::size_t n = 0; n < 2000; ++n) {
        try {
          const Buffer buffer = pool.acquire(std::size_t{1} << (10 + n % 6));
          if (budget.used() > budget.limit()) ADD_FAILURE() << budget.used();
        } catch (const Error&) {
          ++refused;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.used(), 0) << refused;
}

TEST(MemoryBudget, LeavesSomeOfALimitedAddressSpaceToThreadsAndLibraries) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  if (before.rlim_cur != RLIM_INFINITY) GTEST_SKIP() << "the address space is limited already";
  EXPECT_EQ(address_space_left(), MemoryBudget::kUnlimited);
  // Far more than is in use, of which only the counter knows.
  rlimit limited = before;
  limited.rlim_cur = rlim_t{1} << 46;
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limited), 0);
  const std::int64_t left = address_space_left();
  MemoryBudget budget;
  expect_error(ErrorCode::kResourceExhausted, "RLIMIT_AS leaves",
               [&] { budget.take(left, "a test"); });
  EXPECT_EQ(budget.used(), 0);
  EXPECT_NO_THROW(budget.take(left / 2, "a test"));
  EXPECT_LE(default_memory(), left);
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
}

}  // namespace
}  // namespace airlock::memory_budget_test
