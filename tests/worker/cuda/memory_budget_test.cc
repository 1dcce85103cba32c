#include "airlock/worker/cuda/memory_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/layer_layout.h"

#include "tests/worker/backend_model.h"

namespace airlock::cuda::memory_budget_test {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

std::string refusal(const MemoryNeeds& needs, std::int64_t free, std::int64_t asked) {
  try {
    bytes_for_calls(needs, "cuda:3", free, asked);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    return error.what();
  }
  return "";
}

TEST(CudaMemoryNeeds, OfLlama1BAreItsMatricesCachesAndCalls) {
  const ModelConfig config = *find_preset("llama-3.2-1b");
  const MemoryNeeds needs = memory_needs(config, ProductKinds::kPlain, DType::kBF16, 8 * kGiB);
  // 16 layers of 60,817,408 weights and a head of 128256 x 2048, two bytes each; nothing to align.
  EXPECT_EQ(needs.weights, 2 * (16 * std::int64_t{60'817'408} + std::int64_t{128256} * 2048));
  EXPECT_EQ(needs.caches, 8 * kGiB + kGiB / 2);
  // Scores of 32 heads outweigh gate and up: 1024 x 32768 against 1024 x 18432 elements.
  EXPECT_EQ(needs.calls, 2 * 4 * (std::int64_t{1024} * 32768 + std::int64_t{1024} * 4 * 2048));
  EXPECT_EQ(memory_needs(config, ProductKinds::kPlain, DType::kF32, 8 * kGiB).weights,
            2 * needs.weights);
}

TEST(CudaMemoryNeeds, OfInt8AreBytesScalesAndWhatPaddingReads) {
  const ModelConfig config = *find_preset("llama-3.2-1b");
  const MemoryNeeds needs = memory_needs(config, ProductKinds::kPlain, DType::kI8, 8 * kGiB);
  // 15 rows behind q,k,v, behind o, behind gate,up and behind down; a scale for each of their rows.
  const std::int64_t layer = 60'817'408 + 15 * (3 * 2048 + 8192) + 4 * (3072 + 2048 + 16384 + 2048);
  const std::int64_t head = std::int64_t{128256 + 15} * 2048 + 4 * std::int64_t{128256};
  EXPECT_EQ(needs.weights, 16 * layer + head);
  EXPECT_EQ(needs.caches,
            memory_needs(config, ProductKinds::kPlain, DType::kBF16, 8 * kGiB).caches);
  EXPECT_EQ(needs.calls, memory_needs(config, ProductKinds::kPlain, DType::kBF16, 8 * kGiB).calls);
}

TEST(CudaMemoryNeeds, OfTheRingAreInt8WeightsAndCallsAndNoCaches) {
  const ModelConfig config = *find_preset("llama-3.2-1b");
  const MemoryNeeds ring = memory_needs(config, ProductKinds::kRing, DType::kBF16, 8 * kGiB);
  const MemoryNeeds int8 = memory_needs(config, ProductKinds::kPlain, DType::kI8, 8 * kGiB);
  EXPECT_EQ(ring.weights, int8.weights);  // sums in place of scales
  EXPECT_EQ(ring.caches, 0);
  EXPECT_EQ(ring.workspace, MemoryNeeds::kWorkspace);
  // 1024 rows of gate and up: as they travel, and digits and sums of 128 of them.
  EXPECT_EQ(ring.calls,
            1024 * 4 * std::int64_t{2048 + 16384} + 512 * std::int64_t{2048 + 4 * 16384});
  const MemoryNeeds plain = memory_needs(config, ProductKinds::kPlain, DType::kBF16, 8 * kGiB);
  const MemoryNeeds all = memory_needs(config, ProductKinds::kAll, DType::kBF16, 8 * kGiB);
  EXPECT_EQ(all.weights, plain.weights + ring.weights);
  EXPECT_EQ(all.caches, plain.caches);
  EXPECT_EQ(all.calls, std::max(plain.calls, ring.calls));
  EXPECT_EQ(all.workspace, plain.workspace);
}

TEST(CudaMemoryNeeds, WhatFitsLeavesTheRestToCalls) {
  const MemoryNeeds needs{4 * kGiB, 2 * kGiB, kGiB, kGiB};
  EXPECT_EQ(bytes_for_calls(needs, "cuda:0", 8 * kGiB, 0), kGiB);
  EXPECT_EQ(bytes_for_calls(needs, "cuda:0", 80 * kGiB, 0), 73 * kGiB);
  EXPECT_EQ(bytes_for_calls(needs, "cuda:0", 80 * kGiB, 10 * kGiB), 3 * kGiB);
}

TEST(CudaMemoryNeeds, WhatDoesNotFitIsRefusedWithEveryNeedAndWhatToChange) {
  const MemoryNeeds needs{4 * kGiB, 2 * kGiB, kGiB / 4, kGiB / 2};
  const std::string by_device = refusal(needs, 5 * kGiB, 0);
  for (const char* part :
       {"cuda:3", "needs 6.75 GiB", "4.00 of weights", "2.00 of KV caches", "0.25 of workspace",
        "0.50 for calls", "the device has free 5.00 GiB", "lower --kv-budget"}) {
    EXPECT_THAT(by_device, HasSubstr(part));
  }
  EXPECT_THAT(refusal(needs, 80 * kGiB, 6 * kGiB), HasSubstr("--gpu-memory allows 6.00 GiB"));
  // Without any cache it would not fit either.
  const std::string too_large = refusal(needs, 80 * kGiB, 3 * kGiB);
  EXPECT_THAT(too_large, HasSubstr("raise --gpu-memory"));
  EXPECT_THAT(too_large, Not(HasSubstr("--kv-budget")));
  // More was asked for than there is: the device decides.
  EXPECT_THAT(refusal(needs, 6 * kGiB, 90 * kGiB), HasSubstr("the device has free 6.00 GiB"));
}

TEST(CudaMemoryBudget, CountsAndRefusesPastItsLimit) {
  MemoryBudget budget("cuda:0: memory for calls", 100, "raise it");
  budget.take(60);
  EXPECT_TRUE(budget.fits(40));
  EXPECT_FALSE(budget.fits(41));
  budget.take(40);
  budget.give(30);
  EXPECT_EQ(budget.used(), 70);
  try {
    budget.take(31);
    FAIL() << "101 of 100 bytes were given";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_THAT(error.what(), HasSubstr("cuda:0: memory for calls: 31 more bytes are wanted, 70 "
                                        "of 100 are in use; raise it"));
  }
  EXPECT_EQ(budget.used(), 70);
  budget.take(30);
}

TEST(CudaLayerLayout, NeighboursShareAMatrixAndMatricesAreAligned) {
  const ModelConfig config = airlock::testing::odd_config();
  const LayerLayout layout = layer_layout(config, DType::kBF16);
  const auto offset = [&](Weight weight) {
    return layout.offsets[static_cast<std::size_t>(weight)];
  };
  EXPECT_EQ(offset(Weight::kQ), 0);
  EXPECT_EQ(offset(Weight::kK), 84 * 45 * 2);
  EXPECT_EQ(offset(Weight::kV), (84 + 28) * 45 * 2);
  EXPECT_EQ(offset(Weight::kUp), offset(Weight::kGate) + 77 * 45 * 2);
  for (const Weight weight : {Weight::kO, Weight::kGate, Weight::kDown}) {
    EXPECT_EQ(offset(weight) % LayerLayout::kAlignment, 0);
  }
  EXPECT_EQ(layout.bytes, offset(Weight::kDown) + 45 * 77 * 2);
}

TEST(CudaLayerLayout, Int8RowsArePaddedAndTheirScalesAreNeighboursToo) {
  const ModelConfig config = airlock::testing::odd_config();
  const LayerLayout layout = layer_layout(config, DType::kI8);
  const auto at = [](const auto& offsets, Weight weight) {
    return offsets[static_cast<std::size_t>(weight)];
  };
  EXPECT_EQ(at(layout.offsets, Weight::kK), 84 * 48);
  EXPECT_EQ(at(layout.offsets, Weight::kV), (84 + 28) * 48);
  EXPECT_EQ(at(layout.offsets, Weight::kUp), at(layout.offsets, Weight::kGate) + 77 * 48);
  EXPECT_EQ(at(layout.scales, Weight::kK), at(layout.scales, Weight::kQ) + 84 * 4);
  EXPECT_EQ(at(layout.scales, Weight::kUp), at(layout.scales, Weight::kGate) + 77 * 4);
  // Products of any neighbours, outputs padded, end before the next matrix' bytes.
  const std::int64_t v_end = at(layout.offsets, Weight::kK) + padded(28 + 28, kInt8Columns) * 48;
  EXPECT_LE(v_end, at(layout.offsets, Weight::kO));
  EXPECT_LE(at(layout.offsets, Weight::kDown) + padded(45, kInt8Columns) * 80,
            at(layout.scales, Weight::kQ));
  EXPECT_EQ(layout.bytes, at(layout.scales, Weight::kDown) + 45 * 4);
  const HeadLayout head = head_layout(config, DType::kI8);
  EXPECT_LE(padded(config.vocab, kInt8Columns) * 48, head.scales);
  EXPECT_EQ(head.bytes, head.scales + config.vocab * 4);
}

TEST(CudaLayerLayout, ListsOfWeightsFallIntoRunsOfNeighbours) {
  const airlock::Weights all{Weight::kQ, Weight::kK, Weight::kV};
  EXPECT_EQ(adjacent_run(all, 0), 3);
  EXPECT_EQ(adjacent_run(all, 1), 2);
  EXPECT_EQ(adjacent_run({Weight::kV, Weight::kGate, Weight::kV}, 0), 1);
  EXPECT_EQ(adjacent_run({Weight::kO, Weight::kGate, Weight::kUp}, 0), 1);
  EXPECT_EQ(adjacent_run({Weight::kO, Weight::kGate, Weight::kUp}, 1), 2);
  EXPECT_EQ(adjacent_run({Weight::kK, Weight::kQ, Weight::kK}, 0), 1);
}

}  // namespace
}  // namespace airlock::cuda::memory_budget_test
