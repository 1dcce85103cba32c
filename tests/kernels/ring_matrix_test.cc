#include "airlock/kernels/ring_matrix.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/isa.h"
#include "airlock/core/threads.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/kernels/ring_kernel.h"
#include "airlock/math/field.h"

namespace airlock::ring_matrix_test {
namespace {

/// What fills rows and weights.
enum class Fill { kRandom, kHighest, kAlternating };

struct Weight {
  Weight(std::int64_t out_rows, std::int64_t in_columns, Fill fill, std::mt19937_64& random)
      : out(out_rows), in(in_columns), values(static_cast<std::size_t>(out_rows * in_columns)) {
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = fill == Fill::kRandom       ? normal(random)
                  : fill == Fill::kHighest    ? 0.5F
                  : (i * 7 + i / 5) % 3 == 0U ? -0.5F
                                              : 0.5F;
    }
  }
  [[nodiscard]] ConstTensor tensor() const {
    return {{DType::kF32, {out, in}}, reinterpret_cast<const std::byte*>(values.data())};
  }
  std::int64_t out, in;
  std::vector<float> values;
};

/// Products of kernel and reference for one shape.
void compare(const RingKernel& kernel, std::int64_t rows, std::int64_t out, std::int64_t in,
             Fill fill) {
  std::mt19937_64 random(static_cast<std::uint64_t>(rows * 1000003 + out * 1009 + in));
  const Weight weight(out, in, fill, random);
  const BufferPool pool;
  const RingMatrix packed = pack_ring_matrix(pool, weight.tensor());
  std::vector<std::int8_t> q(static_cast<std::size_t>(out * in));
  std::vector<float> scales(static_cast<std::size_t>(out));
  quantize_weight_rows(weight.tensor(), 0, out, q, scales);
  for (const DType dtype : {DType::kRing, DType::kI16}) {
    std::vector<std::uint32_t> ring(static_cast<std::size_t>(rows * in));
    std::vector<std::int16_t> int16(ring.size());
    for (std::size_t i = 0; i < ring.size(); ++i) {
      switch (fill) {
        case Fill::kRandom:
          ring[i] = static_cast<std::uint32_t>(random() % kFieldPrime);
          int16[i] = static_cast<std::int16_t>(random());
          break;
        case Fill::kHighest:
          ring[i] = i % 2 == 0 ? kFieldPrime - 1 : 0xffffffffU;  // not below p: counts modulo p
          int16[i] = 32767;
          break;
        case Fill::kAlternating:
          ring[i] = i % 3 == 0 ? 0x7f7fffffU : 0x00ff8000U;
          int16[i] = i % 3 == 0 ? std::int16_t{-32768} : std::int16_t{32767};
          break;
      }
    }
    const void* const x =
        dtype == DType::kRing ? static_cast<const void*>(ring.data()) : int16.data();
    std::vector<std::uint32_t> found(static_cast<std::size_t>(rows * out));
    std::vector<std::uint16_t> found16(found.size());
    ring_multiply(kernel, pool, packed, dtype, x, rows, DType::kRing, found.data());
    ring_multiply(kernel, pool, packed, dtype, x, rows, DType::kRing16, found16.data());
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t m = 0; m < out; ++m) {
        std::int64_t sum = 0;
        for (std::int64_t k = 0; k < in; ++k) {
          const auto at = static_cast<std::size_t>(row * in + k);
          const std::int64_t value = dtype == DType::kRing ? std::int64_t{ring[at]} : int16[at];
          sum += value * q[static_cast<std::size_t>(m * in + k)];
        }
        const auto at = static_cast<std::size_t>(row * out + m);
        ASSERT_EQ(found[at], to_field(sum))
            << kernel.name << ", " << dtype_name(dtype) << " [" << rows << ", " << in << "] x ["
            << out << ", " << in << "], row " << row << ", output " << m;
        ASSERT_EQ(found16[at], to_ring16(to_field(sum)));
      }
    }
  }
}

TEST(RingMultiply, IsExactForEveryKernelAndShape) {
  for (const RingKernel* kernel : ring_kernels()) {
    for (const std::int64_t in : {1, 3, 4, 15, 16, 17, 63, 64, 65, 127, 200, 1023, 1025}) {
      for (const std::int64_t out : {1, 15, 16, 33}) compare(*kernel, 3, out, in, Fill::kRandom);
    }
    for (std::int64_t rows = 1; rows <= 14; ++rows) compare(*kernel, rows, 83, 40, Fill::kRandom);
    compare(*kernel, 70, 150, 96, Fill::kRandom);
  }
}

TEST(RingMultiply, IsExactAtTheLargestSums) {
  for (const RingKernel* kernel : ring_kernels()) {
    for (const std::int64_t in :
         {std::int64_t{1024}, std::int64_t{1028}, std::int64_t{28672}, kMaxRingTerms}) {
      for (const Fill fill : {Fill::kHighest, Fill::kAlternating})
        compare(*kernel, 4, 17, in, fill);
    }
  }
}

TEST(RingMultiply, IsTheSameForAnyNumberOfThreads) {
  std::mt19937_64 random(3);
  const Weight weight(300, 128, Fill::kRandom, random);
  const BufferPool pool;
  const RingMatrix packed = pack_ring_matrix(pool, weight.tensor());
  std::vector<std::uint32_t> x(90 * 128);
  for (std::uint32_t& value : x) value = static_cast<std::uint32_t>(random() % kFieldPrime);
  std::vector<std::uint32_t> first(90 * 300);
  ring_multiply(pool, packed, DType::kRing, x.data(), 90, DType::kRing, first.data());
  const int before = threads();
  for (const int count : {1, 2, 5}) {
    set_threads(count);
    std::vector<std::uint32_t> again(first.size());
    ring_multiply(pool, packed, DType::kRing, x.data(), 90, DType::kRing, again.data());
    EXPECT_EQ(again, first) << count;
  }
  set_threads(before);
}

TEST(RingMultiply, TakesTheBestKernelThatIsAllowed) {
  EXPECT_EQ(ring_isa(), ring_kernels().front()->name);
  EXPECT_EQ(ring_kernels().back()->name, "portable");
  if (isa() < Isa::kAvx512) {
    EXPECT_NE(ring_isa(), "avx512_vnni");
  }
}

TEST(PackRingMatrix, RefusesMoreTermsThanAreExact) {
  std::mt19937_64 random(1);
  const Weight weight(1, kMaxRingTerms + 1, Fill::kHighest, random);
  EXPECT_THROW((void)pack_ring_matrix(BufferPool(), weight.tensor()), Error);
}

TEST(PackRingMatrix, TakesHalfOfWhatBf16Takes) {
  std::mt19937_64 random(1);
  const Weight weight(512, 1024, Fill::kRandom, random);
  EXPECT_LE(pack_ring_matrix(BufferPool(), weight.tensor()).bytes(), 512 * 1024 + 512 * 4);
}

TEST(QuantizeWeightRows, RoundsToNearestEvenWithinTheRowsLargest) {
  std::vector<float> values = {127,    -127,   0.5F, 1.5F, -2.5F,  126.4F,  //
                               0,      0,      0,    0,    0,      0,       //
                               1e-45F, 0,      0,    0,    0,      0,       //
                               3e38F,  -1e38F, 1,    0,    -3e38F, 2.9e38F};
  const ConstTensor weight{{DType::kF32, {4, 6}},
                           reinterpret_cast<const std::byte*>(values.data())};
  std::vector<std::int8_t> q(24);
  std::vector<float> scales(4);
  quantize_weight_rows(weight, 0, 4, q, scales);
  EXPECT_EQ(scales[0], 1.0F);
  EXPECT_EQ(std::vector<std::int8_t>(q.begin(), q.begin() + 6),
            (std::vector<std::int8_t>{127, -127, 0, 2, -2, 126}));
  EXPECT_EQ(scales[1], 0.0F);
  EXPECT_EQ(scales[2], 0.0F);  // 1e-45 / 127 is 0: the row counts as zeros
  EXPECT_EQ(q[12], 0);
  EXPECT_EQ(scales[3], 3e38F / 127);
  EXPECT_EQ(std::vector<std::int8_t>(q.begin() + 18, q.end()),
            (std::vector<std::int8_t>{127, -42, 0, 0, -127, 123}));
}

TEST(QuantizeWeightRows, NamesTheRowThatIsNotFinite) {
  for (const float bad : {INFINITY, -INFINITY, std::nanf("")}) {
    std::vector<float> values(12, 1.0F);
    values[7] = bad;
    const ConstTensor weight{{DType::kF32, {3, 4}},
                             reinterpret_cast<const std::byte*>(values.data())};
    std::vector<std::int8_t> q(12);
    std::vector<float> scales(3);
    try {
      quantize_weight_rows(weight, 0, 3, q, scales);
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find("row 1"), std::string::npos);
    }
    EXPECT_THROW((void)pack_ring_matrix(BufferPool(), weight), Error);
  }
}

}  // namespace
}  // namespace airlock::ring_matrix_test
