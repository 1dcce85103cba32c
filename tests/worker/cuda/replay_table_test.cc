#include "airlock/worker/cuda/replay_table.h"

#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace airlock::cuda::replay_table_test {
namespace {

Call call_of(Op op, std::int64_t tokens, int layer = 0) {
  Call call;
  call.op = op;
  call.layer = layer;
  call.inputs = {{DType::kBF16, {tokens, 64}}};
  return call;
}

ReplayKey key_of(int layer) {
  ReplayKey key;
  key.call = call_of(Op::kGatedMlp, 1, layer);
  return key;
}

/// A table of records that are texts, and what it was seen to do.
class Calls {
 public:
  bool records = true;
  bool fails = false;

  std::string of(const ReplayKey& key) {
    did_.clear();
    table.enqueue(
        key,
        [&] {
          did_ += "run ";
          if (fails) throw std::runtime_error("the device is on fire");
        },
        [&]() -> std::optional<std::string> {
          did_ += "record ";
          if (!records) return std::nullopt;
          return "layer " + std::to_string(key.call.layer);
        },
        [&](const std::string& record) {
          did_ += "replay " + record + ' ';
          if (fails) throw std::runtime_error("the record is of no use");
        });
    return did_;
  }

  ReplayTable<std::string> table;

 private:
  std::string did_;
};

TEST(CudaReplayTable, ACallRunsFirstIsRecordedThenAndReplayedFromThenOn) {
  Calls calls;
  EXPECT_EQ(calls.of(key_of(3)), "run ");
  EXPECT_EQ(calls.of(key_of(3)), "record replay layer 3 ");
  EXPECT_EQ(calls.of(key_of(4)), "run ");
  EXPECT_EQ(calls.of(key_of(3)), "replay layer 3 ");
  EXPECT_EQ(calls.of(key_of(4)), "record replay layer 4 ");
}

TEST(CudaReplayTable, WhatCannotBeRecordedRunsEverAfterAndIsTriedOnce) {
  Calls calls;
  calls.records = false;
  EXPECT_EQ(calls.of(key_of(0)), "run ");
  EXPECT_EQ(calls.of(key_of(0)), "record run ");
  calls.records = true;
  EXPECT_EQ(calls.of(key_of(0)), "run ");
}

TEST(CudaReplayTable, ACallThatFailedIsNotRecordedAfterIt) {
  Calls calls;
  calls.fails = true;
  EXPECT_THROW(calls.of(key_of(0)), std::runtime_error);
  calls.fails = false;
  EXPECT_EQ(calls.of(key_of(0)), "run ");
  EXPECT_EQ(calls.of(key_of(0)), "record replay layer 0 ");
}

TEST(CudaReplayTable, ARecordThatFailedIsNotReplayedAgain) {
  Calls calls;
  calls.of(key_of(0));
  calls.of(key_of(0));
  calls.fails = true;
  EXPECT_THROW(calls.of(key_of(0)), std::runtime_error);
  calls.fails = false;
  EXPECT_EQ(calls.of(key_of(0)), "run ");
  EXPECT_EQ(calls.of(key_of(0)), "run ");
}

TEST(CudaReplayTable, WhateverAKernelIsToldMakesAnotherKey) {
  const int memory = 0;
  const ReplayKey key = key_of(0);
  std::vector<ReplayKey> others(10, key);
  others[0].memory = &memory;
  others[1].cache = &memory;
  others[2].cache_capacity = 64;
  others[3].call.layer = 1;
  others[4].call.op = Op::kAttentionBlock;
  others[5].call.inputs = {{DType::kBF16, {2, 64}}};
  others[6].call.inputs = {{DType::kF32, {1, 64}}};
  others[7].call.reply_dtype = DType::kI8;
  others[8].call.weights = {Weight::kO};
  others[9].memory_bytes = 512;
  Calls calls;
  calls.of(key);
  for (const ReplayKey& other : others) EXPECT_EQ(calls.of(other), "run ");
  EXPECT_EQ(calls.of(key), "record replay layer 0 ");
}

TEST(CudaReplayTable, TheLeastRecentlyUsedMakesRoom) {
  Calls calls;
  const int most = static_cast<int>(calls.table.kMost);
  for (int layer = 0; layer < most; ++layer) calls.of(key_of(layer));
  EXPECT_EQ(calls.of(key_of(0)), "record replay layer 0 ");
  EXPECT_EQ(calls.of(key_of(most)), "run ");  // in place of layer 1
  EXPECT_EQ(calls.table.size(), calls.table.kMost);
  EXPECT_EQ(calls.of(key_of(0)), "replay layer 0 ");
  EXPECT_EQ(calls.of(key_of(1)), "run ");
}

TEST(CudaReplayable, OnlyCallsOfFewTokensWhoseShapesStayTheSame) {
  for (const Op op : {Op::kBatchLinear, Op::kFlashAttention, Op::kAttentionBlock, Op::kGatedMlp,
                      Op::kLmHead, Op::kRingLinear}) {
    EXPECT_TRUE(replayable(call_of(op, 1))) << op_name(op);
    EXPECT_TRUE(replayable(call_of(op, kReplayedTokens - 1))) << op_name(op);
    EXPECT_FALSE(replayable(call_of(op, kReplayedTokens))) << op_name(op);
  }
  Call many = call_of(Op::kAttentionBlock, 2);
  many.ranges = {{1, 2, 0}};
  EXPECT_TRUE(replayable(many));
  many.ranges = {{1, 1, 0}, {2, 1, 0}};  // at two positions, in two caches
  EXPECT_FALSE(replayable(many));
  for (const Op op :
       {Op::kInit, Op::kEmbedding, Op::kMatmul, Op::kFusedAttention, Op::kPadProduct}) {
    EXPECT_FALSE(replayable(call_of(op, 1))) << op_name(op);
  }
}

}  // namespace
}  // namespace airlock::cuda::replay_table_test
