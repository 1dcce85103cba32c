#include "airlock/worker/cuda/cache_rows.h"

#include <random>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/kernels/kv_cache.h"

#include "tests/worker/backend_model.h"

namespace airlock::cuda::cache_rows_test {
namespace {

/// What a call does to a cache: whether it was taken.
template <typename Body>
bool taken(const Body& body) {
  try {
    body();
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kSessionLost) << error.what();
    return false;
  }
}

TEST(CudaCacheRows, RowsBytesAndRefusalsAreTheCpuCaches) {
  const ModelConfig config = airlock::testing::odd_config();
  std::mt19937 rng(5);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    KvCache cpu(config, dtype, BufferPool());
    CacheRows rows(config, dtype);
    int refused = 0;
    for (int call = 0; call < 2000; ++call) {
      const int layer = static_cast<int>(rng() % 2);
      // Mostly within what is held, sometimes past it, sometimes from the start.
      const auto held = static_cast<std::uint64_t>(cpu.rows(layer));
      const auto position =
          call % 40 == 0 ? 0 : static_cast<std::int64_t>(rng() % (held + held / 4 + 2));
      const auto tokens = 1 + static_cast<std::int64_t>(rng() % (call % 50 == 0 ? 3000 : 60));
      EXPECT_EQ(rows.bytes_with(layer, position + tokens),
                cpu.bytes_with(layer, position + tokens));
      const bool by_cpu = taken([&] { cpu.prepare(layer, position, tokens); });
      const bool by_us = taken([&] { rows.prepare(layer, position, tokens, [](std::int64_t) {}); });
      ASSERT_EQ(by_us, by_cpu) << call;
      if (by_us && call % 7 != 0) {  // sometimes a call fails after it has prepared
        cpu.commit(layer, tokens);
        rows.commit(layer, tokens);
      }
      refused += by_us ? 0 : 1;
      ASSERT_EQ(rows.rows(layer), cpu.rows(layer)) << call;
      ASSERT_EQ(rows.capacity(layer) * config.head_dim, cpu.head_stride(layer)) << call;
      ASSERT_EQ(rows.bytes(), cpu.bytes()) << call;
    }
    EXPECT_GT(refused, 100);
    EXPECT_LT(refused, 1900);
  }
}

TEST(CudaCacheRows, AGrowthThatFailsLeavesThemAsTheyWere) {
  const ModelConfig config = airlock::testing::odd_config();
  CacheRows rows(config, DType::kF32);
  rows.prepare(0, 0, 10, [](std::int64_t capacity) { EXPECT_EQ(capacity, CacheRows::kMinRows); });
  rows.commit(0, 10);
  const std::int64_t bytes = rows.bytes();
  EXPECT_THROW(
      rows.prepare(0, 4, 100, [](std::int64_t) { fail(ErrorCode::kResourceExhausted, "full"); }),
      Error);
  EXPECT_EQ(rows.rows(0), 10);
  EXPECT_EQ(rows.capacity(0), CacheRows::kMinRows);
  EXPECT_EQ(rows.bytes(), bytes);
}

}  // namespace
}  // namespace airlock::cuda::cache_rows_test
