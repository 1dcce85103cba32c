#include "airlock/core/pipeline.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/support/leftovers.h"

namespace airlock::pipeline_test {
namespace {

using namespace std::chrono_literals;

/// A door that stages wait at until it is opened; gives up where a test would hang.
class Door {
 public:
  void open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    opened_.notify_all();
  }
  bool pass() {
    std::unique_lock lock(mutex_);
    return opened_.wait_for(lock, 30s, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

const auto kNothingToClose = [] {};

std::string error_of(Pipeline& pipeline, std::uint64_t item) {
  try {
    pipeline.wait(item);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

TEST(Pipeline, EveryItemPassesEveryStageInOrder) {
  std::vector<std::uint64_t> first, second;
  Pipeline pipeline({[&](std::uint64_t item) { first.push_back(item); },
                     [&](std::uint64_t item) { second.push_back(item); }},
                    kNothingToClose);
  std::vector<std::uint64_t> all;
  for (std::uint64_t item = 0; item < 1000; ++item) {
    pipeline.submit();
    all.push_back(item);
  }
  pipeline.wait(999);
  EXPECT_EQ(first, all);
  EXPECT_EQ(second, all);
  EXPECT_NO_THROW(pipeline.wait(0));
}

TEST(Pipeline, WhatAStageWroteIsSeenByTheNextAndByTheOneWhoWaits) {
  std::vector<int> items(500, 0);  // TSan looks at these
  Pipeline pipeline(
      {[&](std::uint64_t item) { items[item] += 1; }, [&](std::uint64_t item) { items[item] *= 2; },
       [&](std::uint64_t item) { items[item] += 3; }},
      kNothingToClose);
  for (std::uint64_t item = 0; item < items.size(); ++item) {
    items[item] = static_cast<int>(item);
    pipeline.submit();
    if (item < 4) continue;
    pipeline.wait(item - 4);
    EXPECT_EQ(items[item - 4], 2 * (static_cast<int>(item) - 4 + 1) + 3);
  }
}

TEST(Pipeline, StagesWorkOnDifferentItemsAtTheSameTime) {
  Door first_is_at_item_1, second_is_at_item_0;
  std::atomic<int> met{0};
  Pipeline pipeline({[&](std::uint64_t item) {
                       if (item != 1) return;
                       first_is_at_item_1.open();
                       met += second_is_at_item_0.pass() ? 1 : 0;
                     },
                     [&](std::uint64_t item) {
                       if (item != 0) return;
                       second_is_at_item_0.open();
                       met += first_is_at_item_1.pass() ? 1 : 0;
                     }},
                    kNothingToClose);
  pipeline.submit();
  pipeline.submit();
  pipeline.wait(1);
  EXPECT_EQ(met, 2);
}

TEST(Pipeline, HasAThreadForEachStageAndMakesNoneLater) {
  const auto before = testing::thread_ids();
  Pipeline pipeline({[](std::uint64_t) {}, [](std::uint64_t) {}, [](std::uint64_t) {}},
                    kNothingToClose);
  const auto made = testing::thread_ids();
  EXPECT_EQ(std::count_if(made.begin(), made.end(),
                          [&](const std::string& id) { return before.count(id) == 0; }),
            3);
  for (std::uint64_t item = 0; item < 100; ++item) {
    pipeline.submit();
    pipeline.wait(item);
  }
  EXPECT_EQ(testing::thread_ids(), made);
}

TEST(Pipeline, TheFirstErrorReachesTheOneWhoWaitsAndWhatWasDoneStaysDone) {
  for (const std::size_t failing : {0U, 1U}) {
    std::atomic<int> closed{0};
    const auto stage = [&](std::size_t number) {
      return [=](std::uint64_t item) {
        if (number == failing && item == 2) throw std::runtime_error("item 2 is unwell");
      };
    };
    Pipeline pipeline({stage(0), stage(1)}, [&] { ++closed; });
    pipeline.submit();
    pipeline.submit();
    pipeline.wait(1);
    pipeline.submit();
    pipeline.submit();
    EXPECT_EQ(error_of(pipeline, 2), "item 2 is unwell");
    EXPECT_GE(closed, 1);
    EXPECT_EQ(error_of(pipeline, 1), "none");
  }
}

TEST(Pipeline, AfterItsErrorWasToldItIsOverAndSaysSo) {
  Pipeline pipeline({[](std::uint64_t) { fail(ErrorCode::kProtocol, "nonsense"); }},
                    kNothingToClose);
  pipeline.submit();
  EXPECT_EQ(error_of(pipeline, 0), "nonsense");
  pipeline.submit();
  try {
    pipeline.wait(1);
    ADD_FAILURE() << "an item passed a pipeline that had ended";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConnectionLost) << error.what();
  }
}

TEST(Pipeline, ErrorsOfOtherStagesAfterTheFirstAreNotTold) {
  Door closed;
  Pipeline pipeline({[&](std::uint64_t item) {
                       if (item == 1) throw std::runtime_error("the first");
                     },
                     [&](std::uint64_t) {
                       closed.pass();
                       throw std::runtime_error("because of the first");
                     }},
                    [&] { closed.open(); });
  pipeline.submit();
  pipeline.submit();
  EXPECT_EQ(error_of(pipeline, 0), "the first");
}

TEST(Pipeline, AnErrorIsToldOnlyOnceNoStageIsAtWorkAnyMore) {
  // The one who waits takes back what items stand for: a stage must not use that any longer.
  Door at_work, closed;
  std::atomic<bool> left{false};
  Pipeline pipeline({[&](std::uint64_t item) {
                       if (item == 0) return;
                       at_work.pass();
                       throw std::runtime_error("broken");
                     },
                     [&](std::uint64_t) {
                       at_work.open();
                       closed.pass();
                       std::this_thread::sleep_for(30ms);
                       left = true;
                       throw std::runtime_error("woken by close");
                     }},
                    [&] { closed.open(); });
  pipeline.submit();
  pipeline.submit();
  EXPECT_EQ(error_of(pipeline, 0), "broken");
  EXPECT_TRUE(left);
}

TEST(Pipeline, DestructionClosesAndLeavesItemsUndone) {
  const auto before = testing::holdings();
  Door at_work, closed;
  std::atomic<int> done{0};
  {
    Pipeline pipeline({[&](std::uint64_t) {
                        at_work.open();
                        closed.pass();
                        ++done;
                      }},
                      [&] { closed.open(); });
    for (int item = 0; item < 5; ++item) pipeline.submit();
    at_work.pass();
  }
  EXPECT_GE(done, 1);
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

}  // namespace
}  // namespace airlock::pipeline_test
