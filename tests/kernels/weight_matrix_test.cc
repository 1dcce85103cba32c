#include "airlock/kernels/weight_matrix.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/worker/backend_model.h"
#include "tests/worker/backend_reference.h"

namespace airlock::testing::weight_matrix_test {
namespace {

/// Products with the rows where they lie, which every processor can compute.
OwnedTensor multiply_stored(const BufferPool& pool, const OwnedTensor& x, const OwnedTensor& w) {
  Gemm gemm(pool);
  const std::int64_t rows = x.spec().shape[0];
  OwnedTensor out(TensorSpec{DType::kF32, {rows, w.spec().shape[0]}});
  multiply(gemm, pool, x.tensor().data, rows, {{}, w}, DType::kF32, out.tensor().data);
  return out;
}

TEST(WeightMatrixTest, StoredRowsGiveTheProductForAnyNumberOfTokens) {
  std::mt19937_64 rng(1);
  for (const DType stored : {DType::kF32, DType::kBF16, DType::kF16}) {
    const OwnedTensor w = random_tensor(rng, stored, {77, 45});
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 8, 32, 33, 64, 200}) {
      const OwnedTensor x = random_tensor(rng, DType::kF32, {rows, 45});
      expect_within(multiply_stored(BufferPool(), x, w),
                    product(Bounded(x), Bounded(w), DType::kF32),
                    fmt::format("{} {} rows", dtype_name(stored), rows));
    }
  }
}

TEST(WeightMatrixTest, PanelsOfATallWeightMeetWithoutAGap) {
  // 512 outputs or four a row at a time, so 1300 are panels of 512, 512 and 276, or 800 and 500.
  std::mt19937_64 rng(2);
  for (const DType stored : {DType::kBF16, DType::kF16}) {
    const OwnedTensor w = random_tensor(rng, stored, {1300, 19});
    for (const std::int64_t rows : {40, 200}) {
      const OwnedTensor x = random_tensor(rng, DType::kF32, {rows, 19});
      expect_within(multiply_stored(BufferPool(), x, w),
                    product(Bounded(x), Bounded(w), DType::kF32), "panels");
    }
  }
}

TEST(WeightMatrixTest, FewAndManyRowsAgreeWithinTheirRoundings) {
  constexpr std::int64_t kIn = 300, kOut = 64, kMany = 100;
  std::mt19937_64 rng(3);
  for (const DType stored : {DType::kBF16, DType::kF16}) {
    const OwnedTensor w = random_tensor(rng, stored, {kOut, kIn});
    const OwnedTensor x = random_tensor(rng, DType::kF32, {kMany, kIn});
    const std::vector<double> many = multiply_stored(BufferPool(), x, w).values();
    const Bounded bound = product(Bounded(x), Bounded(w), DType::kF32);
    for (std::int64_t row = 0; row < kMany; ++row) {
      const std::vector<double> values(x.tensor().as<float>() + row * kIn,
                                       x.tensor().as<float>() + (row + 1) * kIn);
      const std::vector<double> one =
          multiply_stored(BufferPool(), {DType::kF32, {1, kIn}, values}, w).values();
      for (std::int64_t o = 0; o < kOut; ++o) {
        const std::size_t at = bound.at(row, o);
        // Each is within the bound of the exact product.
        EXPECT_NEAR(one[static_cast<std::size_t>(o)], many[at], 2 * bound.error[at]);
      }
    }
  }
}

TEST(WeightMatrixTest, WorkingMemoryGoesBackToThePool) {
  const BufferPool pool;
  std::mt19937_64 rng(4);
  const OwnedTensor w = random_tensor(rng, DType::kBF16, {700, 30});
  const OwnedTensor x = random_tensor(rng, DType::kF32, {100, 30});
  multiply_stored(pool, x, w);
  EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(WeightMatrixTest, WeightsAreCopiedOnlyWherePackingPays) {
  const BufferPool pool;
  Gemm gemm(pool);
  std::mt19937_64 rng(5);
  const OwnedTensor w = random_tensor(rng, DType::kBF16, {64, 64});
  const WeightMatrix matrix = prepare_weight(gemm, w, DType::kF32);
  EXPECT_EQ(packs_weights(), onednn_has_bf16());
  if (packs_weights()) {
    EXPECT_EQ(matrix.stored.data, nullptr);
    EXPECT_EQ(matrix.bytes(), 64 * 64 * 4);
  } else {
    EXPECT_EQ(matrix.stored.data, w.tensor().data);
    EXPECT_EQ(matrix.bytes(), 64 * 64 * 2);
    EXPECT_EQ(pool.bytes_in_use(), 0U);
  }
}

}  // namespace
}  // namespace airlock::testing::weight_matrix_test
