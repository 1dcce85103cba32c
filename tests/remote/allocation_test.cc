// Calls of a steady state leave the heap alone and make no thread, in the runner and in the worker.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/ops/rules.h"
#include "airlock/remote/client.h"

#include "tests/support/call_memory.h"
#include "tests/support/count_allocations.h"
#include "tests/support/fake_worker.h"
#include "tests/support/leftovers.h"

namespace airlock::allocation_test {
namespace {

using testing::allocations_of_all_threads;
using testing::allocations_of_this_thread;
using testing::small_config;

TEST(Allocations, AreCounted) {
  const std::int64_t before = allocations_of_this_thread();
  auto block = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(allocations_of_this_thread() - before, 2);
}

TEST(Allocations, OfOtherThreadsAndOfCAreCountedAsWell) {
  const std::int64_t ours = allocations_of_this_thread();
  const std::int64_t all = allocations_of_all_threads();
  std::thread([] {
    const auto block = std::make_unique<std::vector<int>>(100);
    const BufferPool pool;
    (void)pool.acquire(1 << 20);
  }).join();
  EXPECT_GE(allocations_of_all_threads() - all, 2 + (allocations_of_this_thread() - ours));
}

TEST(Allocations, NoLegalCallMakesInferOutputsAllocate) {
  const ModelConfig config = small_config();
  for (const std::int64_t tokens : {1, 59}) {
    for (const auto& [call, outputs] : testing::legal_calls(config, tokens, DType::kF32)) {
      const std::int64_t before = allocations_of_this_thread();
      const TensorSpecs inferred = infer_outputs(config, call);
      EXPECT_EQ(allocations_of_this_thread() - before, 0) << describe(call);
      EXPECT_EQ(inferred, outputs);
    }
  }
}

class SteadyState : public ::testing::TestWithParam<std::tuple<Transport, DType, int>> {};

/// Calls as a runner keeps them under way, `lanes` at a time.
void run(RemoteClient& client, std::span<const testing::LegalCall> calls,
         std::span<testing::CallMemory> memory) {
  const auto lanes = static_cast<std::size_t>(client.lanes());
  for (std::size_t i = 0; i < calls.size() + lanes; ++i) {
    if (i >= lanes) client.collect(client.oldest());
    if (i < calls.size()) client.submit(calls[i].call, memory[i].inputs, memory[i].outputs);
  }
}

TEST_P(SteadyState, NoThreadOfEitherSideAllocatesAndNoneIsMade) {
  const auto [transport, dtype, lanes] = GetParam();
  ModelConfig config = small_config();
  config.max_position = 4096;
  testing::FakeWorker worker(config);
  MemoryLedger ledger;
  ledger.reserve(20000);
  ClientOptions options;
  options.lanes = lanes;
  RemoteClient client(worker.dial(transport), config, testing::small_fingerprint(), options,
                      &ledger);
  // Of 7 and of 300 tokens: over shm some tensors are shared, some travel behind their message.
  std::vector<testing::LegalCall> calls = testing::legal_calls(config, 7, dtype);
  for (const auto& legal : testing::legal_calls(config, 300, dtype)) calls.push_back(legal);
  std::vector<testing::CallMemory> memory;
  for (const auto& legal : calls) memory.emplace_back(config, legal.call, 1);
  for (int warm_up = 0; warm_up < 3; ++warm_up) run(client, calls, memory);
  // Pools grow to what was needed at the same time, which with several lanes is a matter of chance
  // at first; an allocation of every call, or of every tenth, would show in every window.
  std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
  const auto threads = testing::thread_ids();
  for (int window = 0; window < 50 && fewest > 0; ++window) {
    const std::int64_t before = allocations_of_all_threads();
    for (int i = 0; i < 10; ++i) run(client, calls, memory);
    fewest = std::min(fewest, allocations_of_all_threads() - before);
  }
  EXPECT_EQ(fewest, 0);
  EXPECT_EQ(testing::thread_ids(), threads);
}

INSTANTIATE_TEST_SUITE_P(Links, SteadyState,
                         ::testing::Combine(::testing::Values(Transport::kInproc, Transport::kUnix,
                                                              Transport::kShm, Transport::kTcp),
                                            ::testing::Values(DType::kF32, DType::kBF16,
                                                              DType::kF16, DType::kI8),
                                            ::testing::Values(1, 2, 5)),
                         [](const auto& test) {
                           return fmt::format("{}_{}_{}", transport_name(std::get<0>(test.param)),
                                              dtype_name(std::get<1>(test.param)),
                                              std::get<2>(test.param));
                         });

}  // namespace
}  // namespace airlock::allocation_test
