#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/stop.h"
#include "airlock/kernels/kv_cache.h"
#include "airlock/worker/cpu/cpu_backend.h"

#include "tests/support/environment.h"
#include "tests/worker/backend_suite.h"

namespace airlock::testing::backend_cpu_test {
namespace {

TEST(BackendCpuTest, ProgressReachesTheWhole) {
  RandomWeights weights(odd_config(), DType::kF32);
  std::int64_t last = 0;
  std::int64_t whole = 0;
  CpuBackendOptions options;
  options.progress = [&](std::int64_t done, std::int64_t total) {
    EXPECT_GT(done, last);
    last = done;
    whole = total;
  };
  make_cpu_backend(weights, options);
  EXPECT_GT(whole, 0);
  EXPECT_EQ(last, whole);
}

TEST(BackendCpuTest, ComputeDtypesThatNoProcessorMultipliesAreRefused) {
  RandomWeights weights(odd_config(), DType::kF32);
  for (const DType dtype : {DType::kF16, DType::kI8, DType::kI64}) {
    CpuBackendOptions options;
    options.compute_dtype = dtype;
    EXPECT_THROW(make_cpu_backend(weights, options), Error) << dtype_name(dtype);
  }
}

TEST(BackendCpuTest, ComputesInF32WithoutBf16Instructions) {
  GTEST_FLAG_SET(death_test_style,
                 "threadsafe");  // a process of its own, which reads its own limit
  for (const char* set : {"avx2", "avx512"}) {
    const testing::ScopedVariable limit("AIRLOCK_MAX_ISA", set);
    EXPECT_EXIT(
        {
          RandomWeights weights(odd_config(), DType::kBF16);
          const auto backend = make_cpu_backend(weights, {});
          std::exit(backend->compute_dtype() == DType::kF32 && !cpu_has_bf16() ? 0 : 1);
        },
        ::testing::ExitedWithCode(0), "");
  }
}

TEST(BackendCpuTest, FusedAttentionPastItsScratchIsRefusedBeforeItAllocates) {
  RandomWeights weights(odd_config(), DType::kF32);
  CpuBackendOptions options;
  options.compute_dtype = DType::kF32;
  options.max_scratch_bytes = 6 * 10 * 10 * 4;  // scores of ten tokens
  const auto backend = make_cpu_backend(weights, options);
  const auto attend = [&](std::int64_t tokens) {
    const OwnedTensor x(TensorSpec{DType::kF32, {tokens, backend->config().q_dim()}});
    const ConstTensor inputs[] = {x, x, x};
    const OwnedTensor y(x.spec());
    const Tensor output = y.tensor();
    Call call = make_call(Op::kFusedAttention, 0, DType::kF32);
    call.inputs = {x.spec(), x.spec(), x.spec()};
    backend->execute(call, {}, inputs, {&output, 1});
  };
  attend(10);
  try {
    attend(11);
    FAIL() << "scores past the limit were computed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  }
}

TEST(BackendCpuTest, PackingStopsWhenAsked) {
  RandomWeights weights(odd_config(), DType::kF32);
  CpuBackendOptions options;
  const StopSource source;
  options.progress = [&](std::int64_t, std::int64_t) { source.request_stop(); };
  options.stop = source.token();
  try {
    make_cpu_backend(weights, options);
    FAIL() << "packing went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted);
  }
}

TEST(BackendCpuTest, ADroppedCacheGivesItsMemoryBack) {
  const ModelConfig config = odd_config();
  const BufferPool pool;
  {
    KvCache cache(config, DType::kF32, pool);
    cache.prepare(0, 0, 1000);
    cache.prepare(1, 0, 10);
    EXPECT_EQ(cache.bytes(), 2 * (1024 + 64) * config.kv_dim() * 4);
    EXPECT_GT(pool.bytes_in_use(), 0U);
    cache.clear();
    EXPECT_EQ(cache.bytes(), 0);
    EXPECT_EQ(pool.bytes_in_use(), 0U);
    EXPECT_THROW(cache.prepare(0, 1, 1), Error);
  }
}

TEST(BackendCpuTest, CachesNeverPassTheModelsContext) {
  const ModelConfig config = odd_config();
  KvCache cache(config, DType::kBF16, BufferPool());
  cache.prepare(0, 0, config.max_position - 1);
  EXPECT_EQ(cache.bytes(), 2 * config.max_position * config.kv_dim() * 2);
}

}  // namespace
}  // namespace airlock::testing::backend_cpu_test
