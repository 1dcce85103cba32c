#include "airlock/shield/pad_bank.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "tests/shield/ring_support.h"

namespace airlock::pad_bank_test {
namespace {

ModelConfig config() {
  return testing::counted_config({2, 40, 6, 2, 10, 91, 257, 4096});
}

std::int64_t row_bytes() {
  std::int64_t elements = 0;
  for (const RingGroup& group : ring_groups(config(), true)) elements += group.in + group.out;
  return elements * 4;
}

PadBank bank_of(std::int64_t memory, PadRows layout = PadRows::kDense) {
  return PadBank(ring_groups(config(), true), config(), layout, memory);
}

/// Fills a batch with numbers of its own.
struct Counter {
  std::uint32_t next = 1;
  void operator()(const PadBatch& batch) {
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      std::fill_n(batch.input + row * batch.input_stride, batch.input_stride, next);
      for (int k = 0; k < kMaxTensors && batch.output[k] != nullptr; ++k) {
        std::fill_n(batch.output[k] + row * batch.output_stride[k], batch.output_stride[k], next);
      }
      ++next;
    }
  }
};

TEST(PadBank, HandsOutEachRowOnceAndInOrder) {
  PadBank bank = bank_of(100 * row_bytes());
  EXPECT_EQ(bank.capacity(), 100);
  EXPECT_EQ(bank.groups(), 9);
  Counter counter;
  bank.make(0, 5, std::ref(counter));
  bank.make(0, 7, std::ref(counter));
  EXPECT_EQ(bank.ready(0), 12);
  EXPECT_EQ(bank.ready(1), 0);
  EXPECT_EQ(bank.room(0), 88);
  std::uint32_t expected = 1;
  for (const std::int64_t wanted : {3, 1, 4, 100}) {
    Pad pad;
    const std::int64_t given = bank.take(0, wanted, pad);
    EXPECT_EQ(given, std::min<std::int64_t>(wanted, 13 - expected));
    EXPECT_EQ(pad.rows(), given);
    for (const PadSegment& segment : pad.segments()) {
      for (std::int64_t row = 0; row < segment.rows; ++row, ++expected) {
        EXPECT_EQ(segment.input[row * segment.input_stride], expected);
        for (int k = 0; k < 3; ++k) {
          EXPECT_EQ(segment.output[k][row * segment.output_stride[k]], expected);
        }
      }
    }
  }
  EXPECT_EQ(expected, 13U);
  EXPECT_EQ(bank.ready(0), 0);
  EXPECT_EQ(bank.room(0), 100);
}

TEST(PadBank, WipesRowsWhenTheirPadEndsAndNoOthers) {
  PadBank bank = bank_of(100 * row_bytes());
  Counter counter;
  bank.make(3, 4, std::ref(counter));
  PadSegment used;
  {
    Pad pad;
    EXPECT_EQ(bank.take(3, 2, pad), 2);
    used = pad.segments()[0];
  }
  const auto row_is = [&](std::int64_t row, std::uint32_t value) {
    const auto all = [&](const std::uint32_t* first, std::int64_t stride) {
      return std::all_of(first + row * stride, first + (row + 1) * stride,
                         [&](std::uint32_t element) { return element == value; });
    };
    return all(used.input, used.input_stride) && all(used.output[0], used.output_stride[0]);
  };
  EXPECT_TRUE(row_is(0, 0));
  EXPECT_TRUE(row_is(1, 0));
  EXPECT_TRUE(row_is(2, 3));
  EXPECT_TRUE(row_is(3, 4));
}

TEST(PadBank, KeepsItsMemoryBoundWhateverTheBatches) {
  const std::int64_t memory = 50 * row_bytes() + 3;
  PadBank bank = bank_of(memory);
  EXPECT_EQ(bank.capacity(), 50);
  Counter counter;
  // Every tensor of a batch begins a cache line: up to 60 bytes more each, 27 in a full set.
  const std::int64_t slack = std::int64_t{27} * 60;
  for (int round = 0; round < 20; ++round) {
    for (int group = 0; group < bank.groups(); ++group) {
      while (bank.room(group) > 0) {
        bank.make(group, std::min<std::int64_t>(bank.room(group), 32 - round), std::ref(counter));
      }
    }
    EXPECT_LE(bank.bytes(), memory + 4 * slack);
    for (int group = 0; group < bank.groups(); ++group) {
      Pad pad;
      EXPECT_EQ(bank.take(group, 50, pad), 50);
    }
  }
}

TEST(PadBank, ABatchThatFailsAddsNothing) {
  PadBank bank = bank_of(100 * row_bytes());
  EXPECT_THROW(
      bank.make(0, 5, [](const PadBatch&) { throw std::runtime_error("the dealer is gone"); }),
      std::runtime_error);
  EXPECT_EQ(bank.ready(0), 0);
  EXPECT_EQ(bank.room(0), 100);
}

TEST(PadBank, PadsOutliveIt) {
  std::optional<Pad> pad(std::in_place);
  {
    PadBank bank = bank_of(10 * row_bytes());
    Counter counter;
    bank.make(0, 2, std::ref(counter));
    EXPECT_EQ(bank.take(0, 1, *pad), 1);
  }
  EXPECT_EQ(pad->segments()[0].input[0], 1U);
  pad.reset();
}

TEST(PadBank, BlocksHaveRoomForWholeOnesAndNoPowerOfTwoStride) {
  const PadBank dense = bank_of(0);
  EXPECT_EQ(dense.capacity(), 0);
  PadBank bank = bank_of(1 << 20, PadRows::kBlocks);
  bank.make(8, 3, [&](const PadBatch& batch) {
    EXPECT_EQ(batch.input_stride, 48);
    EXPECT_EQ(batch.output_stride[0], 272);
    EXPECT_EQ(batch.output[1], nullptr);
  });
  const ModelConfig wide = testing::llama_1b();
  PadBank large(ring_groups(wide, true), wide, PadRows::kBlocks, 1 << 30);
  EXPECT_GT(large.capacity(), 350);
  large.make(0, 1, [&](const PadBatch& batch) {
    EXPECT_EQ(batch.input_stride, 2048 + 16);
    EXPECT_EQ(batch.output_stride[1], 512 + 16);
  });
}

}  // namespace
}  // namespace airlock::pad_bank_test
