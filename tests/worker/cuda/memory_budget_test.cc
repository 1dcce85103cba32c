#include "airlock/worker/cuda/memory_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/layer_layout.h"

namespace airlock::cuda {
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
  const MemoryNeeds needs = memory_needs(config, DType::kBF16, 8 * kGiB);
  // 16 layers of 60,817,408 weights and a head of 128256 x 2048, two bytes each; nothing to align.
  EXPECT_EQ(needs.weights, 2 * (16 * std::int64_t{60'817'408} + std::int64_t{128256} * 2048));
  EXPECT_EQ(needs.caches, 8 * kGiB + kGiB / 2);
  // Scores of 32 heads outweigh gate and up: 1024 x 32768 against 1024 x 18432 elements.
  EXPECT_EQ(needs.calls, 2 * 4 * (std::int64_t{1024} * 32768 + std::int64_t{1024} * 4 * 2048));
  EXPECT_EQ(memory_needs(config, DType::kF32, 8 * kGiB).weights, 2 * needs.weights);
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
  ModelConfig config = *find_preset("tiny");
  config.hidden = 45;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_dim = 14;
  config.ffn = 77;
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
}  // namespace airlock::cuda
