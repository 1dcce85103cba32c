// Calls of a steady state leave the heap alone, in the runner and in the worker.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/remote/client.h"
#include "airlock/remote/rules.h"
#include "airlock/worker/server.h"

#include "tests/support/count_allocations.h"
#include "tests/support/fake_backend.h"
#include "tests/support/link_pair.h"
#include "tests/support/runner.h"

namespace airlock {
namespace {

using testing::allocations_of_this_thread;
using testing::small_config;

TEST(Allocations, AreCounted) {
  const std::int64_t before = allocations_of_this_thread();
  auto block = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(allocations_of_this_thread() - before, 2);
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

class SteadyState : public ::testing::TestWithParam<std::tuple<Transport, DType>> {};

TEST_P(SteadyState, NeitherSideAllocatesForACall) {
  const auto [transport, dtype] = GetParam();
  const ModelConfig config = small_config();
  testing::FakeBackend backend;
  std::atomic<std::int64_t> worker{0};
  backend.during = [&](const Call&) { worker = allocations_of_this_thread(); };
  ServerOptions options;
  Server server(backend, testing::small_fingerprint(), options);
  auto ends = testing::make_ends(transport);
  std::thread thread([&, end = std::move(ends.second)]() mutable { server.serve(std::move(end)); });
  {
    MemoryLedger ledger;
    ledger.reserve(1000);
    RemoteClient client(std::move(ends.first), config, testing::small_fingerprint(), {}, &ledger);
    const auto calls = testing::legal_calls(config, 7, dtype);
    std::vector<testing::CallMemory> memory;
    for (const auto& legal : calls) memory.emplace_back(config, legal.call, 1);
    const auto round = [&] {
      for (std::size_t i = 0; i < calls.size(); ++i) {
        client.execute(calls[i].call, memory[i].inputs, memory[i].outputs);
      }
    };
    for (int warm_up = 0; warm_up < 3; ++warm_up) round();
    const std::int64_t worker_before = worker;
    const std::int64_t runner_before = allocations_of_this_thread();
    for (int i = 0; i < 10; ++i) round();
    EXPECT_EQ(allocations_of_this_thread() - runner_before, 0);
    EXPECT_EQ(worker - worker_before, 0);
  }
  thread.join();
}

INSTANTIATE_TEST_SUITE_P(Links, SteadyState,
                         ::testing::Combine(::testing::Values(Transport::kInproc, Transport::kUnix,
                                                              Transport::kShm, Transport::kTcp),
                                            ::testing::Values(DType::kF32, DType::kBF16,
                                                              DType::kI8)),
                         [](const auto& test) {
                           return std::string(transport_name(std::get<0>(test.param))) + "_" +
                                  std::string(dtype_name(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace airlock
