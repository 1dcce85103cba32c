#include "airlock/core/buffer_pool.h"

#include <algorithm>
#include <cstdint>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/process_memory.h"

namespace airlock::buffer_pool_test {
namespace {

TEST(BufferPool, ReusesABlockThatCameBack) {
  BufferPool pool;
  Buffer first = pool.acquire(5000);
  const std::byte* address = first.data();
  first.release();
  EXPECT_EQ(pool.acquire(4200).data(), address);
}

TEST(BufferPool, AlignsEveryBlockTo64Bytes) {
  BufferPool pool;
  for (const std::size_t size : {0UL, 1UL, 65UL, 4097UL, 3UL << 20}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pool.acquire(size).data()) % 64, 0U) << size;
  }
}

TEST(BufferPool, WastesAtMostAnEighthOfALargeBlock) {
  BufferPool pool;
  for (std::size_t size = (1UL << 20) + 1; size < (64UL << 20); size += 777'777) {
    const Buffer buffer = pool.acquire(size);
    EXPECT_LE(pool.bytes_in_use(), size + size / 8 + 64);
  }
}

TEST(BufferPool, CountsBytesOnLoanAndIdle) {
  BufferPool pool;
  Buffer buffer = pool.acquire(1024);
  EXPECT_EQ(pool.bytes_in_use(), 1024U);
  buffer.release();
  EXPECT_EQ(pool.bytes_in_use(), 0U);
  EXPECT_EQ(pool.bytes_idle(), 1024U);
  pool.trim();
  EXPECT_EQ(pool.bytes_idle(), 0U);
}

TEST(BufferPool, BufferMayOutliveThePool) {
  Buffer buffer;
  {
    BufferPool pool;
    buffer = pool.acquire(100);
  }
  buffer.as<char>()[99] = 'x';
}

TEST(BufferPool, KeepsNoMoreIdleThanAShareOfWhatWasOnLoanAtOnce) {
  const BufferPool pool;
  constexpr std::size_t kMost = std::size_t{32} << 20;
  // A peer that asks for every size, one at a time: each has a class of its own.
  for (std::size_t size = kMost; size > 0; size = size * 15 / 16) (void)pool.acquire(size);
  EXPECT_GT(pool.bytes_idle(), 0U);
  EXPECT_LE(pool.bytes_idle(), BufferPool::kIdleShare * kMost);
}

TEST(BufferPool, DropsTheLongestIdleFirst) {
  constexpr std::size_t kSize = std::size_t{4} << 20;
  const BufferPool pool;
  const std::byte* last = nullptr;
  for (std::size_t n = 0; n < 8; ++n) {
    const Buffer buffer = pool.acquire(kSize - n * (kSize / 16));
    last = buffer.data();
  }
  EXPECT_EQ(pool.acquire(kSize - 7 * (kSize / 16)).data(), last);
}

TEST(BufferPool, WhatIsOnLoanWhenTrimmedDoesNotCountAsTraffic) {
  const BufferPool pool;
  const Buffer weights = pool.acquire(std::size_t{64} << 20);
  pool.trim();
  for (std::size_t n = 16; n <= 32; ++n) (void)pool.acquire(n << 18);
  EXPECT_LE(pool.bytes_idle(), BufferPool::kIdleShare * (std::size_t{8} << 20));
}

TEST(BufferPool, GivesLargeBlocksBackToTheSystemAtOnce) {
  constexpr std::size_t kSize = std::size_t{64} << 20;
  const BufferPool pool;
  const std::int64_t before = process_memory().resident_bytes;
  {
    const Buffer buffer = pool.acquire(kSize);
    std::fill_n(buffer.data(), kSize, std::byte{1});
    EXPECT_GT(process_memory().resident_bytes, before + static_cast<std::int64_t>(kSize) / 2);
  }
  pool.trim();
  EXPECT_LT(process_memory().resident_bytes, before + static_cast<std::int64_t>(kSize) / 2);
}

/// Refuses what it is told to.
class Reluctant final : public BlockSource {
 public:
  std::byte* allocate(std::size_t capacity) override {
    if (refusals > 0 && refusals-- > 0) fail(ErrorCode::kResourceExhausted, "none left");
    return heap_->allocate(capacity);
  }
  void free(std::byte* block, std::size_t capacity) noexcept override {
    heap_->free(block, capacity);
  }
  int refusals = 0;

 private:
  const std::shared_ptr<BlockSource> heap_ = heap_blocks();
};

TEST(BufferPool, GivesUpIdleBlocksWhereTheSystemHasNoMore) {
  MemoryBudget budget;
  const auto source = std::make_shared<Reluctant>();
  const BufferPool pool(source, budget);
  { const Buffer idle = pool.acquire(5000); }
  source->refusals = 1;
  EXPECT_NO_THROW((void)pool.acquire(100));
  pool.trim();
  source->refusals = 1;
  EXPECT_THROW((void)pool.acquire(100), Error);
  EXPECT_EQ(budget.used(), 0) << "what was refused counts";
}

}  // namespace
}  // namespace airlock::buffer_pool_test
