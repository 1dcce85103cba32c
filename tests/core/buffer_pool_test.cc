#include "airlock/core/buffer_pool.h"

#include <cstdint>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace airlock::buffer_pool_test
