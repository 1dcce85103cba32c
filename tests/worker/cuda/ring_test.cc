#include "airlock/worker/cuda/kernels/ring.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/kernels/ring_matrix.h"
#include "airlock/math/field.h"
#include "airlock/worker/cuda/ring_layout.h"

#include "tests/worker/backend_model.h"
#include "tests/worker/cuda/emulate.h"

namespace airlock::cuda::testing::ring_test {
namespace {

/// The element that digits stand for.
template <typename X>
std::int64_t element_of(X x) {
  std::int64_t value = RingDigits<X>::kOffset;
  for (int place = 0; place < RingDigits<X>::kCount; ++place) {
    value += std::int64_t{RingDigits<X>::digit(x, place)} * (std::int64_t{1} << (8 * place));
  }
  return value;
}

TEST(CudaRingDigits, HoldEveryInt16) {
  for (int x = -32768; x <= 32767; ++x) {
    ASSERT_EQ(element_of(static_cast<std::int16_t>(x)), x);
  }
}

TEST(CudaRingDigits, HoldEvery32Bits) {
  // Each digit depends on its own byte alone: all pairs of neighbouring bytes show that, the rest 0
  // or 255.
  for (int place = 0; place < 3; ++place) {
    for (std::uint32_t pair = 0; pair <= 0xffff; ++pair) {
      const std::uint32_t x = pair << (8 * place);
      const std::uint32_t filled = x | ~(0xffffU << (8 * place));
      ASSERT_EQ(element_of(x), x);
      ASSERT_EQ(element_of(filled), filled);
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 1000000; ++i) {
    const auto x = static_cast<std::uint32_t>(random());
    ASSERT_EQ(element_of(x), x);
  }
  for (const std::uint32_t x : {kFieldPrime - 1, kFieldPrime, kFieldPrime + 1}) {
    ASSERT_EQ(element_of(x), x);
  }
}

TEST(CudaRingResidue, IsTheRemainderUpToItsBounds) {
  constexpr std::int64_t kBound = std::int64_t{1} << 55;
  constexpr auto kPrime = std::int64_t{kFieldPrime};
  const auto check = [&](std::int64_t value) { ASSERT_EQ(field_residue(value), to_field(value)); };
  for (std::int64_t near = -3; near <= 3; ++near) {
    // Multiples of p, where the quotient may be one too small, all over the range.
    for (std::int64_t multiple = 1; multiple <= kBound / kPrime; multiple += multiple / 7 + 1) {
      check(multiple * kPrime + near);
      check(-multiple * kPrime + near);
    }
    check(near);
    check(kBound / kPrime * kPrime + near);
    check(-(kBound / kPrime) * kPrime + near);
  }
  check(kBound);
  check(-kBound);
  std::mt19937_64 random(2);
  for (int i = 0; i < 1000000; ++i) {
    check(static_cast<std::int64_t>(random()) >> (8 + i % 50));
  }
}

TEST(CudaRingResidue, OfTheLargestSumsIsRight) {
  // All signs of what kMaxRingTerms terms of digits and weights at their ends add up to.
  constexpr auto kSum = static_cast<std::int32_t>(kMaxRingTerms * 128 * 127);
  constexpr auto kWeights = static_cast<std::int32_t>(kMaxRingTerms * 127);
  for (unsigned signs = 0; signs < 32; ++signs) {
    std::int32_t sums[4];
    std::int64_t expected = 0;
    for (unsigned place = 0; place < 4; ++place) {
      sums[place] = (signs >> place & 1U) != 0 ? kSum : -kSum;
      expected += std::int64_t{sums[place]} * (std::int64_t{1} << (8 * place));
    }
    const std::int32_t weights = (signs >> 4) != 0 ? kWeights : -kWeights;
    expected += std::int64_t{0x80808080} * weights;
    ASSERT_LE(std::abs(expected), std::int64_t{1} << 55);
    EXPECT_EQ(recombined<std::uint32_t>(sums, 1, weights), to_field(expected));
  }
}

/// What fills elements and weights.
enum class Fill { kRandom, kHighest, kAlternating };

template <typename X>
X element(Fill fill, std::size_t i, std::mt19937_64& random) {
  constexpr bool kSigned = std::is_signed_v<X>;
  switch (fill) {
    case Fill::kRandom:
      break;
    case Fill::kHighest:
      if (kSigned) return std::numeric_limits<X>::max();
      return i % 2 == 0 ? static_cast<X>(kFieldPrime - 1) : static_cast<X>(0xffffffffU);
    case Fill::kAlternating:
      if (kSigned) return i % 3 == 0 ? std::numeric_limits<X>::min() : static_cast<X>(32767);
      return i % 3 == 0 ? static_cast<X>(0x7f7fffffU) : static_cast<X>(0x00ff8000U);
  }
  return static_cast<X>(random());
}

/// Weights as they lie on the device: rows padded with zeros, memory behind them that belongs to
/// others, and sums.
struct Uploaded {
  Uploaded(std::int64_t out, std::int64_t in, Fill fill, std::mt19937_64& random) {
    std::vector<float> values(static_cast<std::size_t>(out * in));
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = fill == Fill::kRandom                                     ? normal(random)
                  : fill == Fill::kAlternating && (i * 7 + i / 5) % 3 == 0U ? -0.5F
                                                                            : 0.5F;
    }
    const ConstTensor weight{{DType::kF32, {out, in}},
                             reinterpret_cast<const std::byte*>(values.data())};
    q.resize(values.size());
    sums.resize(static_cast<std::size_t>(out));
    make_ring_rows(weight, 0, out, q.data(), sums.data());
    const std::int64_t stride = row_stride(in, DType::kI8);
    rows.assign(static_cast<std::size_t>(padded(out, kInt8Columns) * stride), -77);
    for (std::int64_t m = 0; m < out; ++m) {
      const auto row = rows.begin() + m * stride;
      std::fill_n(std::copy_n(q.begin() + m * in, in, row), stride - in, std::int8_t{0});
    }
  }
  std::vector<std::int8_t> q;  ///< [out, in]
  std::vector<std::int8_t> rows;
  std::vector<std::int32_t> sums;
};

/// The product that cuBLASLt is asked for, padding included, on digits in memory full of garbage.
template <typename X>
std::vector<std::int32_t> sums_of(const std::vector<X>& x, std::int64_t x_rows, std::int64_t in,
                                  const Uploaded& w, const RingShape& shape) {
  std::vector<std::int8_t> digits(static_cast<std::size_t>(shape.digit_bytes()), -128);
  const DigitsArgs args{x.data(), digits.data(), shape.stride, x_rows, in};
  run_grid(grid_over(x_rows, in),
           [&](const BlockId& block, void*) { digits_block<X>(args, block); });
  std::vector<std::int32_t> sums(static_cast<std::size_t>(shape.sum_count()));
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    for (std::int64_t column = 0; column < shape.columns; ++column) {
      const std::int8_t* a = digits.data() + row * shape.stride;
      const std::int8_t* b = w.rows.data() + column * shape.stride;
      sums[static_cast<std::size_t>(row * shape.columns + column)] =
          std::inner_product(a, a + shape.stride, b, std::int32_t{0});
    }
  }
  return sums;
}

template <typename X, typename Y>
void check_recombined(const RecombineArgs& wanted, const std::vector<std::uint32_t>& expected,
                      std::int64_t first, std::int64_t out) {
  std::vector<Y> found(static_cast<std::size_t>(wanted.rows * wanted.columns));
  RecombineArgs args = wanted;
  args.to = found.data();
  run_grid(grid_over(args.rows, args.columns),
           [&](const BlockId& block, void*) { recombine_block<X, Y>(args, block); });
  for (std::int64_t row = 0; row < args.rows; ++row) {
    for (std::int64_t column = 0; column < args.columns; ++column) {
      const std::uint32_t value = expected[static_cast<std::size_t>(row * out + first + column)];
      const auto y = static_cast<Y>(sizeof(Y) == 2 ? to_ring16(value) : value);
      ASSERT_EQ(found[static_cast<std::size_t>(row * args.columns + column)], y)
          << "row " << row << ", output " << first + column;
    }
  }
}

template <typename X>
void check_product(std::int64_t rows, std::int64_t in, std::int64_t out, Fill fill) {
  SCOPED_TRACE(fmt::format("{} bytes [{}, {}] to {}, fill {}", sizeof(X), rows, in, out,
                           static_cast<int>(fill)));
  std::mt19937_64 random(static_cast<std::uint64_t>(rows * 1000003 + out * 1009 + in));
  const Uploaded w(out, in, fill, random);
  std::vector<X> x(static_cast<std::size_t>(rows * in));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = element<X>(fill, i, random);
  std::vector<std::uint32_t> expected(static_cast<std::size_t>(rows * out));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t m = 0; m < out; ++m) {
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < in; ++k) {
        sum += std::int64_t{x[static_cast<std::size_t>(row * in + k)]} *
               w.q[static_cast<std::size_t>(m * in + k)];
      }
      expected[static_cast<std::size_t>(row * out + m)] = to_field(sum);
    }
  }
  const RingShape shape(sizeof(X) == 2 ? DType::kI16 : DType::kRing, rows, in, out);
  const std::vector<std::int32_t> sums = sums_of(x, rows, in, w, shape);
  // Whole, and as the second of two matrices that were multiplied as one.
  for (const std::int64_t first : {std::int64_t{0}, out / 2}) {
    const RecombineArgs args{
        sums.data() + first, shape.columns, w.sums.data() + first, nullptr, rows, out - first};
    check_recombined<X, std::uint32_t>(args, expected, first, out);
    check_recombined<X, std::uint16_t>(args, expected, first, out);
  }
}

void check_products(std::int64_t rows, std::int64_t in, std::int64_t out, Fill fill) {
  check_product<std::uint32_t>(rows, in, out, fill);
  check_product<std::int16_t>(rows, in, out, fill);
}

TEST(CudaRingProduct, IsThe64BitReferencesForEveryShape) {
  for (const std::int64_t in : {1, 3, 15, 16, 17, 45, 127, 1025}) {
    for (const std::int64_t out : {1, 15, 16, 33}) check_products(3, in, out, Fill::kRandom);
  }
  for (std::int64_t rows = 1; rows <= 18; ++rows) check_products(rows, 40, 83, Fill::kRandom);
  check_products(70, 96, 1100, Fill::kRandom);
}

TEST(CudaRingProduct, IsExactAtTheLargestSums) {
  for (const std::int64_t in : {std::int64_t{28672}, kMaxRingTerms}) {
    for (const Fill fill : {Fill::kHighest, Fill::kAlternating}) check_products(2, in, 3, fill);
  }
}

TEST(CudaRingRows, AreQuantizeWeightRowsOnAnyNumberOfThreads) {
  std::mt19937_64 random(4);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const auto w = airlock::testing::random_tensor(random, dtype, {67, 45});
    std::vector<std::int8_t> expected(67 * 45);
    std::vector<float> scales(67);
    quantize_weight_rows(w, 0, 67, expected, scales);
    for (const int count : {1, 3}) {
      set_threads(count);
      std::vector<std::int8_t> q(expected.size());
      std::vector<std::int32_t> sums(67);
      make_ring_rows(w, 0, 20, q.data(), sums.data());
      make_ring_rows(w, 20, 47, q.data() + 20 * 45, sums.data() + 20);
      EXPECT_EQ(q, expected);
      for (std::size_t row = 0; row < sums.size(); ++row) {
        const auto begin = expected.begin() + static_cast<std::ptrdiff_t>(row * 45);
        EXPECT_EQ(sums[row], std::accumulate(begin, begin + 45, 0));
      }
    }
    set_threads(0);
  }
}

TEST(CudaRingRows, AValueThatIsNotFiniteIsRefusedWithItsRow) {
  std::vector<float> values(30 * 7, 1.0F);
  values[11 * 7 + 2] = std::nanf("");
  values[29 * 7] = std::numeric_limits<float>::infinity();
  const ConstTensor w{{DType::kF32, {30, 7}}, reinterpret_cast<const std::byte*>(values.data())};
  std::vector<std::int8_t> q(values.size());
  std::vector<std::int32_t> sums(30);
  for (const int count : {1, 4}) {
    set_threads(count);
    try {
      make_ring_rows(w, 0, 30, q.data(), sums.data());
      ADD_FAILURE() << "a weight that is not finite was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("row 11 "));
    }
  }
  set_threads(0);
}

TEST(CudaRingLayout, WidthsPastWhatSumsHoldAreRefused) {
  ModelConfig config = *find_preset("llama-3.1-70b");
  check_ring_terms(config);
  config.ffn = kMaxRingTerms;
  check_ring_terms(config);
  config.ffn += 1;
  EXPECT_THROW(check_ring_terms(config), Error);
}

TEST(CudaRingLayout, PiecesAreWholeTilesOfProducts) {
  for (const DType x : {DType::kRing, DType::kI16}) {
    EXPECT_EQ(ring_grain(x) * ring_digits(x), RowChunks::kGrain);
  }
  EXPECT_EQ(ring_digits(DType::kRing), RingDigits<std::uint32_t>::kCount);
  EXPECT_EQ(ring_digits(DType::kI16), RingDigits<std::int16_t>::kCount);
  const RingShape one(DType::kRing, 1, 45, 103);
  EXPECT_EQ(one.rows, 32);
  EXPECT_EQ(one.stride, 48);
  EXPECT_EQ(one.columns, 112);
  EXPECT_EQ(RingShape(DType::kI16, 100, 45, 103).rows, 224);
}

TEST(CudaRingLayout, ACallTakesItsRowsAndOnePiecesDigitsAndSums) {
  // [1024, 2048] to 16384: 72 KiB a row, 114 of them in 8 MiB, in steps of 32: 128.
  const std::int64_t rows = 1024 * 4 * std::int64_t{2048 + 16384};
  EXPECT_EQ(ring_call_bytes(1024, 2048, 16384), rows + 512 * std::int64_t{2048 + 4 * 16384});
}

}  // namespace
}  // namespace airlock::cuda::testing::ring_test
