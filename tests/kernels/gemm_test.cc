#include "airlock/kernels/gemm.h"

#include <gtest/gtest.h>

#include "tests/support/count_allocations.h"
#include "tests/worker/backend_model.h"
#include "tests/worker/backend_reference.h"

namespace airlock::testing::gemm_test {
namespace {

std::vector<DType> compute_dtypes() {
  if (onednn_has_bf16()) return {DType::kF32, DType::kBF16};
  return {DType::kF32};
}

TEST(GemmTest, KeepsOnlySoManyPrimitives) {
  const BufferPool pool;
  Gemm gemm(pool, 3);
  std::mt19937_64 rng(1);
  const OwnedTensor w = random_tensor(rng, DType::kF32, {33, 20});
  const PackedMatrix packed = gemm.pack(w, DType::kF32);
  // Each is asked for again after others pushed it out.
  for (int round = 0; round < 3; ++round) {
    for (std::int64_t rows = 1; rows <= 5; ++rows) {
      const OwnedTensor x = random_tensor(rng, DType::kF32, {rows, 20});
      const OwnedTensor y(TensorSpec{DType::kF32, {rows, 33}});
      gemm.multiply(x.tensor().data, rows, packed, DType::kF32, y.tensor().data);
      expect_within(y, product(Bounded(x), Bounded(w), DType::kF32), "product");
      EXPECT_LE(gemm.cached(), 3);
    }
  }
}

TEST(GemmTest, TokenMajorOperandsAreReadInPlace) {
  constexpr std::int64_t kBatch = 3, kM = 5, kK = 8, kN = 11;
  std::mt19937_64 rng(2);
  for (const DType dtype : compute_dtypes()) {
    for (const bool transpose : {false, true}) {
      Gemm gemm{BufferPool()};
      const OwnedTensor a = random_tensor(rng, dtype, {kM, kBatch * kK});
      const OwnedTensor b = transpose ? random_tensor(rng, dtype, {kN, kBatch * kK})
                                      : random_tensor(rng, dtype, {kK, kBatch * kN});
      const OwnedTensor out(TensorSpec{DType::kF32, {kM, kBatch * kN}});
      BatchedProduct spec;
      spec.batch = kBatch;
      spec.m = kM;
      spec.k = kK;
      spec.n = kN;
      spec.in = dtype;
      spec.transpose_b = transpose;
      spec.a_token_major = spec.b_token_major = spec.out_token_major = true;
      gemm.multiply(spec, a.tensor().data, b.tensor().data, out.tensor().data);
      Bounded expected;  // transposed: columns of `out` are rows here
      for (std::int64_t i = 0; i < kBatch; ++i) {
        const Bounded left = columns_of(Bounded(a), i * kK, kK);
        const Bounded right = transpose ? columns_of(Bounded(b), i * kK, kK)
                                        : transposed(columns_of(Bounded(b), i * kN, kN));
        expected = stacked(expected, transposed(product(left, right, dtype)));
      }
      expect_within(out, transposed(expected), transpose ? "transposed" : "plain");
    }
  }
}

TEST(GemmTest, WorkingMemoryGoesBackToThePool) {
  const BufferPool pool;
  Gemm gemm(pool);
  std::mt19937_64 rng(3);
  const OwnedTensor w = random_tensor(rng, DType::kF16, {64, 100});
  const PackedMatrix packed = gemm.pack(w, DType::kF32);
  const std::size_t weights = pool.bytes_in_use();
  const OwnedTensor x = random_tensor(rng, DType::kF32, {9, 100});
  const OwnedTensor y(TensorSpec{DType::kF32, {9, 64}});
  gemm.multiply(x.tensor().data, 9, packed, DType::kF32, y.tensor().data);
  EXPECT_EQ(pool.bytes_in_use(), weights);
}

TEST(GemmTest, PaddingAllocatesNothingOnceWarm) {
  constexpr std::int64_t kRows = 9, kTerms = 63, kOut = 40;
  const BufferPool pool;
  std::mt19937_64 rng(4);
  const OwnedTensor w = random_tensor(rng, DType::kF32, {kOut, kTerms});
  const OwnedTensor x = random_tensor(rng, DType::kF32, {kRows, kTerms});
  const OwnedTensor y(TensorSpec{DType::kF32, {kRows, kOut}});
  BatchedProduct product{.m = kRows, .k = kTerms, .n = kOut, .transpose_b = true};
  std::int64_t allocated[2] = {};
  for (const bool padded : {false, true}) {
    Gemm gemm(pool, Gemm::kPrimitives,
              [padded](std::int64_t terms, DType) { return padded ? terms + 1 : terms; });
    EXPECT_EQ(gemm.padding_bytes(product), padded ? (kRows + kOut) * (kTerms + 1) * 4 : 0);
    const PackedMatrix packed = gemm.pack(w, DType::kF32);
    const std::size_t weights = pool.bytes_in_use();
    const auto multiply = [&] {
      gemm.multiply(x.tensor().data, kRows, packed, DType::kF32, y.tensor().data);
      gemm.multiply(product, x.tensor().data, w.tensor().data, y.tensor().data);
    };
    multiply();
    const std::int64_t before = allocations_of_this_thread();
    multiply();
    allocated[padded ? 1 : 0] = allocations_of_this_thread() - before;  // oneDNN's own
    EXPECT_EQ(pool.bytes_in_use(), weights);
  }
  EXPECT_EQ(allocated[0], allocated[1]);
}

TEST(GemmTest, TheLibrarysKnownFaultsArePaddedWhereTheyOccur) {
  const Gemm gemm{BufferPool()};
  BatchedProduct product{.m = 1, .k = 63, .n = 80, .in = DType::kBF16};
  const bool on_amx = onednn_isa() == "avx512_core_amx";
  EXPECT_EQ(gemm.padding_bytes(product), on_amx ? (1 + 80) * 64 * 2 : 0);
  product.in = DType::kF32;
  EXPECT_EQ(gemm.padding_bytes(product), 0);
}

}  // namespace
}  // namespace airlock::testing::gemm_test
