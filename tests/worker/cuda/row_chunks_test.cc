#include "airlock/worker/cuda/row_chunks.h"

#include <array>

#include <gtest/gtest.h>

#include "airlock/worker/cuda/address_ranges.h"

namespace airlock::cuda::row_chunks_test {
namespace {

TEST(CudaRowChunks, CoverEveryRowOnceInOrder) {
  for (const std::int64_t rows : {1, 127, 128, 129, 1000, 4096}) {
    for (const std::int64_t bytes : {1, 4096, 72 << 10, 9 << 20}) {
      for (const std::int64_t grain : {1, 128}) {
        const RowChunks chunks(rows, bytes, grain);
        std::int64_t next = 0;
        for (std::int64_t i = 0; i < chunks.count(); ++i) {
          EXPECT_EQ(chunks[i].begin, next);
          EXPECT_GT(chunks[i].count, 0);
          EXPECT_TRUE(i + 1 == chunks.count() || chunks[i].count % grain == 0);
          next += chunks[i].count;
        }
        EXPECT_EQ(next, rows) << bytes << ' ' << grain;
      }
    }
  }
}

TEST(CudaRowChunks, SmallCallsStayWholeAndLargeOnesAreCutWhereACopyPays) {
  EXPECT_EQ(RowChunks(1024, 4096).count(), 1);
  // 1024 rows of gate and up in f32, 72 KiB each: 8 MiB are 114 rows, rounded up to a tile.
  const RowChunks mlp(1024, 72 << 10);
  EXPECT_EQ(mlp.count(), 8);
  EXPECT_EQ(mlp[0].count, 128);
  // Scores of 32 heads, 4 MiB and some each: two at a time.
  EXPECT_EQ(RowChunks(32, 4 << 20, 1).count(), 16);
}

TEST(CudaAddressRanges, ContainWhatLiesInOneOfThem) {
  std::array<std::byte, 300> memory{};
  AddressRanges ranges;
  ranges.add(memory.data() + 100, 50);
  ranges.add(memory.data() + 150, 50);
  EXPECT_TRUE(ranges.contain(memory.data() + 100, 50));
  EXPECT_TRUE(ranges.contain(memory.data() + 149, 1));
  EXPECT_TRUE(ranges.contain(memory.data() + 150, 50));
  EXPECT_FALSE(ranges.contain(memory.data() + 149, 2));
  EXPECT_FALSE(ranges.contain(memory.data() + 99, 1));
  EXPECT_FALSE(ranges.contain(memory.data() + 200, 1));
  EXPECT_FALSE(ranges.contain(memory.data() + 150, 51));
  EXPECT_TRUE(ranges.remove(memory.data() + 100));
  EXPECT_FALSE(ranges.remove(memory.data() + 100));
  EXPECT_FALSE(ranges.contain(memory.data() + 100, 1));
  EXPECT_TRUE(ranges.contain(memory.data() + 199, 1));
}

}  // namespace
}  // namespace airlock::cuda::row_chunks_test
