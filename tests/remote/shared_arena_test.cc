#include "airlock/remote/shared_arena.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/support/leftovers.h"

namespace airlock::shared_arena_test {
namespace {

constexpr std::size_t kBlock = SharedArena::kLeastBlock;
constexpr std::int64_t kPlenty = std::int64_t{1} << 30;

/// Blocks of an arena, given back at the end.
class Blocks {
 public:
  explicit Blocks(std::int64_t budget) : arena(std::make_shared<SharedArena>(budget)) {}
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;
  ~Blocks() {
    for (const auto& [block, size] : held_) arena->free(block, size);
  }
  std::byte* take(std::size_t size) {
    std::byte* block = arena->allocate(size);
    held_.emplace_back(block, size);
    return block;
  }
  void give_back(std::byte* block) {
    const auto at =
        std::find_if(held_.begin(), held_.end(), [&](const auto& h) { return h.first == block; });
    arena->free(at->first, at->second);
    held_.erase(at);
  }
  /// The segment that a block is, 0 for ordinary memory.
  [[nodiscard]] int segment(const std::byte* block) const {
    const auto place = arena->find(block);
    return place ? place->segment : 0;
  }

  const std::shared_ptr<SharedArena> arena;

 private:
  std::vector<std::pair<std::byte*, std::size_t>> held_;
};

TEST(SharedArena, EachBlockIsASegmentOfItsOwn) {
  Blocks blocks(kPlenty);
  for (int number = 1; number <= 20; ++number) {
    const std::byte* block = blocks.take(kBlock * static_cast<std::size_t>(1 + number % 3));
    EXPECT_EQ(blocks.segment(block), number);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % BufferPool::kAlignment, 0U);
  }
}

TEST(SharedArena, FindsWhatLiesInsideASegmentAtTheAlignmentOfTensors) {
  Blocks blocks(kPlenty);
  std::vector<std::byte*> all;
  for (int i = 0; i < 7; ++i) all.push_back(blocks.take(2 * kBlock));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto number = static_cast<std::uint16_t>(i + 1);
    for (const std::size_t offset : {std::size_t{0}, std::size_t{64}, kBlock, 2 * kBlock - 64}) {
      EXPECT_EQ(blocks.arena->find(all[i] + offset),
                (Place{number, static_cast<std::int64_t>(offset)}));
    }
    for (const std::size_t offset : {1, 4, 32, 63, 65, 4000}) {
      EXPECT_FALSE(blocks.arena->find(all[i] + offset)) << offset;
    }
  }
}

TEST(SharedArena, FindsNothingOutside) {
  Blocks blocks(kPlenty);
  const std::vector<std::byte> heap(kBlock);
  EXPECT_FALSE(blocks.arena->find(heap.data()));
  EXPECT_FALSE(blocks.arena->find(nullptr));
  const std::byte* block = blocks.take(kBlock);
  EXPECT_FALSE(blocks.arena->find(heap.data()));
  EXPECT_FALSE(blocks.arena->find(nullptr));
  EXPECT_FALSE(blocks.arena->find(block - 64));
  EXPECT_FALSE(blocks.arena->find(block + kBlock));
}

TEST(SharedArena, FallsBackToOrdinaryMemoryBeyondItsBudget) {
  Blocks blocks(static_cast<std::int64_t>(3 * kBlock));
  EXPECT_EQ(blocks.segment(blocks.take(4 * kBlock)), 0) << "larger than all of the budget";
  EXPECT_EQ(blocks.segment(blocks.take(2 * kBlock)), 1);
  EXPECT_EQ(blocks.segment(blocks.take(2 * kBlock)), 0);
  EXPECT_EQ(blocks.segment(blocks.take(kBlock)), 2);
  EXPECT_EQ(blocks.arena->bytes(), static_cast<std::int64_t>(3 * kBlock));
  std::byte* beyond = blocks.take(kBlock);
  EXPECT_EQ(blocks.segment(beyond), 0);
  std::fill_n(beyond, kBlock, std::byte{1});
}

TEST(SharedArena, HasNothingToShareWithoutABudget) {
  for (const std::int64_t budget : {std::int64_t{0}, std::int64_t{-1}}) {
    Blocks blocks(budget);
    EXPECT_EQ(blocks.segment(blocks.take(kBlock)), 0);
    EXPECT_EQ(blocks.arena->bytes(), 0);
  }
}

TEST(SharedArena, SmallBlocksAreOrdinaryMemory) {
  Blocks blocks(kPlenty);
  EXPECT_EQ(blocks.segment(blocks.take(64)), 0);
  EXPECT_EQ(blocks.segment(blocks.take(kBlock / 2)), 0);
  EXPECT_EQ(blocks.arena->bytes(), 0);
}

TEST(SharedArena, WhatIsGivenBackIsUnmappedButNeitherItsNumberNorItsBudgetComeBack) {
  // The worker has it mapped until the session ends.
  const auto before = testing::holdings();
  Blocks blocks(static_cast<std::int64_t>(2 * kBlock));
  std::byte* first = blocks.take(kBlock);
  blocks.give_back(first);
  EXPECT_TRUE(testing::holds_no_more_than(before));
  EXPECT_FALSE(blocks.arena->find(first));
  std::byte* second = blocks.take(kBlock);
  EXPECT_EQ(blocks.segment(second), 2);
  blocks.give_back(second);
  EXPECT_EQ(blocks.segment(blocks.take(kBlock)), 0);
  EXPECT_EQ(blocks.arena->bytes(), static_cast<std::int64_t>(2 * kBlock));
}

TEST(SharedArena, FindsTheOthersAfterOneWasGivenBack) {
  Blocks blocks(kPlenty);
  std::vector<std::byte*> all;
  for (int i = 0; i < 9; ++i) all.push_back(blocks.take(kBlock));
  for (const std::size_t gone : {4U, 0U, 8U}) blocks.give_back(all[gone]);
  for (const std::size_t left : {1U, 2U, 3U, 5U, 6U, 7U}) {
    EXPECT_EQ(blocks.segment(all[left]), static_cast<int>(left) + 1);
  }
}

TEST(SharedArena, ASegmentIsNewsOnceAndItsDescriptorIsClosedWhenTold) {
  const auto before = testing::holdings();
  Blocks blocks(kPlenty);
  blocks.take(kBlock);
  blocks.take(3 * kBlock);
  for (const std::uint16_t number : {2, 1}) {
    const auto news = blocks.arena->news_of(number);
    ASSERT_TRUE(news);
    EXPECT_EQ(news->message.segment, number);
    EXPECT_EQ(news->message.bytes, static_cast<std::int64_t>(number == 1 ? kBlock : 3 * kBlock));
    EXPECT_GE(::fcntl(news->file, F_GETFD), 0);
    EXPECT_FALSE(blocks.arena->news_of(number));
    blocks.arena->told(number);
    EXPECT_FALSE(blocks.arena->news_of(number));
  }
  EXPECT_EQ(testing::holdings().descriptors, before.descriptors);
}

TEST(SharedArena, SharesNoMoreSegmentsThanAWorkerTakes) {
  const auto before = testing::holdings();
  {
    Blocks blocks(kPlenty);
    for (std::size_t number = 1; number <= ShareMessage::kMaxSegments; ++number) {
      const std::byte* block = blocks.take(kBlock);
      ASSERT_EQ(blocks.segment(block), static_cast<int>(number));
      const auto segment = static_cast<std::uint16_t>(number);
      ASSERT_TRUE(blocks.arena->news_of(segment));
      blocks.arena->told(segment);  // a thousand descriptors are more than a process may have
    }
    EXPECT_EQ(blocks.segment(blocks.take(kBlock)), 0);
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

TEST(SharedArena, GoesOnWithOrdinaryMemoryWhereTheSystemHasNone) {
  Blocks blocks(std::numeric_limits<std::int64_t>::max());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const int segment = blocks.segment(blocks.take(kBlock));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(segment, 0);
  EXPECT_EQ(blocks.segment(blocks.take(kBlock)), 1);
}

TEST(SharedArena, APoolOfItReusesSegmentsAndOutlivesNothing) {
  const auto before = testing::holdings();
  {
    Buffer last;
    {
      const auto arena = std::make_shared<SharedArena>(kPlenty);
      const BufferPool pool(arena);
      for (int i = 0; i < 100; ++i) (void)pool.acquire(kBlock);
      EXPECT_EQ(arena->bytes(), static_cast<std::int64_t>(kBlock));
      last = pool.acquire(kBlock);
    }
    std::fill_n(last.data(), kBlock, std::byte{1});
    EXPECT_EQ(testing::holdings().mappings, before.mappings + 1);
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

}  // namespace
}  // namespace airlock::shared_arena_test
