// What only a GPU's backend does; what every backend does is in the suite, which runs on GPUs too.
#include <array>
#include <cstring>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/worker/cuda/cuda_backend.h"

#include "tests/worker/backend_reference.h"
#include "tests/worker/backend_suite.h"

namespace airlock::testing::backend_cuda_test {
namespace {

class BackendCudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = why_no_cuda(0);
    if (!missing.empty()) GTEST_SKIP() << missing;
  }
  static CudaBackendOptions small() {
    CudaBackendOptions options;
    options.compute_dtype = DType::kF32;
    options.kv_bytes = std::int64_t{16} << 20;
    return options;
  }
};

TEST_F(BackendCudaTest, AModelPastGpuMemoryIsRefusedBeforeAnyUpload) {
  RandomWeights weights(odd_config(), DType::kF32);
  CudaBackendOptions options = small();
  options.gpu_memory = std::int64_t{32} << 20;
  options.progress = [](std::int64_t, std::int64_t) { FAIL() << "weights were uploaded"; };
  try {
    make_cuda_backend(weights, options);
    FAIL() << "the model was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("--gpu-memory allows"));
  }
}

TEST_F(BackendCudaTest, ACallPastItsMemoryIsRefusedAndTheNextOneRuns) {
  RandomWeights weights(odd_config(), DType::kF32);
  CudaBackendOptions options = small();
  options.gpu_memory = std::int64_t{200} << 20;
  const auto backend = make_cuda_backend(weights, options);
  const auto multiply = [&](std::int64_t rows) {
    const std::int64_t heads = backend->config().heads;
    const OwnedTensor a(DType::kF32, {heads, rows, 1},
                        std::vector<double>(static_cast<std::size_t>(heads * rows), 2));
    const OwnedTensor c(TensorSpec{DType::kF32, {heads, rows, rows}});
    const std::array<ConstTensor, 2> inputs = {a, a};
    const Tensor output = c.tensor();
    Call call = make_call(Op::kMatmul, 0, DType::kF32);
    call.transpose_b = true;
    call.inputs = {a.spec(), a.spec()};
    backend->execute(call, {}, inputs, {&output, 1});
    EXPECT_EQ(c.values().back(), 4);
  };
  multiply(10);
  EXPECT_THROW(multiply(4096), Error);  // 384 MiB of scores
  multiply(10);
}

TEST_F(BackendCudaTest, TensorsInSharedMemoryGiveWhatOthersGive) {
  RandomWeights weights(odd_config(), DType::kF32);
  const auto backend = make_cuda_backend(weights, small());
  std::mt19937_64 rng(3);
  const OwnedTensor x = random_tensor(rng, DType::kF32, {300, backend->config().hidden});
  const auto multiply = [&](ConstTensor from, Tensor to) {
    Call call = linear_call(0, {Weight::kGate}, DType::kF32);
    call.inputs = {from.spec};
    backend->execute(call, {}, {&from, 1}, {&to, 1});
  };
  const TensorSpec reply{DType::kF32, {300, backend->config().ffn}};
  const OwnedTensor expected(reply);
  multiply(x, expected.tensor());

  const Buffer memory = BufferPool().acquire(1 << 20);
  backend->memory_shared(memory.span());
  const auto at = static_cast<std::int64_t>(memory.size() / 2);
  std::memcpy(memory.data(), x.tensor().data, static_cast<std::size_t>(x.spec().bytes()));
  const Tensor shared{reply, memory.data() + at};
  multiply({x.spec(), memory.data()}, shared);
  EXPECT_EQ(decode(shared), expected.values());
  backend->memory_gone(memory.span());
  multiply({x.spec(), memory.data()}, shared);
  EXPECT_EQ(decode(shared), expected.values());
}

TEST_F(BackendCudaTest, ReplayedTokensAreWhatKernelsLaunchedOneByOneGive) {
  // Past the cache's first capacity, where its keys move, and again in a second sequence.
  constexpr std::int64_t kTokens = 70;
  for (const DType compute : {DType::kF32, DType::kBF16, DType::kI8}) {
    std::vector<std::vector<double>> answers;
    for (const bool graphs : {false, true}) {
      RandomWeights weights(wide_heads_config(64), DType::kF32);
      CudaBackendOptions options = small();
      options.compute_dtype = compute;
      options.graphs = graphs;
      const auto backend = make_cuda_backend(weights, options);
      std::mt19937_64 rng(5);
      std::vector<double> all;
      for (int round = 0; round < 2; ++round) {
        const auto sequence = backend->open_sequence();
        BackendSequence* const own = sequence.get();
        for (std::int64_t position = 0; position < kTokens; ++position) {
          const OwnedTensor x = random_tensor(rng, compute, {1, backend->config().hidden});
          const OwnedTensor y(TensorSpec{DType::kF32, {1, backend->config().hidden}});
          const ConstTensor input = x;
          const Tensor output = y.tensor();
          for (const Op op : {Op::kAttentionBlock, Op::kGatedMlp}) {
            Call call = make_call(op, 0, DType::kF32, op == Op::kGatedMlp ? 0 : position);
            call.inputs = {x.spec()};
            backend->execute(call, {&own, 1}, {&input, 1}, {&output, 1});
            const std::vector<double> values = y.values();
            all.insert(all.end(), values.begin(), values.end());
          }
        }
      }
      answers.push_back(std::move(all));
    }
    EXPECT_EQ(answers[0], answers[1]) << dtype_name(compute);
  }
}

TEST_F(BackendCudaTest, Tf32IsOffUnlessAskedFor) {
  RandomWeights weights(odd_config(), DType::kF32);
  std::mt19937_64 rng(3);
  const Bounded w(weights.tensor(Weight::kDown, 0));
  const OwnedTensor wide = random_tensor(rng, DType::kF32, {64, odd_config().ffn});
  const auto backend = make_cuda_backend(weights, small());
  const OwnedTensor y(TensorSpec{DType::kF32, {64, odd_config().hidden}});
  Call call = linear_call(0, {Weight::kDown}, DType::kF32);
  call.inputs = {wide.spec()};
  const ConstTensor input = wide;
  const Tensor output = y.tensor();
  backend->execute(call, {}, {&input, 1}, {&output, 1});
  expect_within(y, product(Bounded(wide), w, DType::kF32), "f32", 0.01);
}

}  // namespace
}  // namespace airlock::testing::backend_cuda_test
