#include "airlock/kernels/ring_matrix.h"

#include <array>
#include <functional>
#include <random>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/isa.h"
#include "airlock/core/threads.h"
#include "airlock/kernels/int8_weight.h"
#include "airlock/kernels/ring_kernel.h"
#include "airlock/math/field.h"

#include "tests/kernels/soft_tiles.h"

namespace airlock::testing::ring_matrix_test {
namespace {

/// Every kernel that this processor runs.
std::vector<const RingKernel*> kernels() {
  std::vector<const RingKernel*> all = {ring_kernel_portable(), soft_tile_kernel()};
  for (const auto kernel :
       {ring_kernel_avx2(), ring_kernel_avx512_vnni(), ring_kernel_amx_int8()}) {
    if (kernel != nullptr) all.push_back(kernel);
  }
  return all;
}

ConstTensor tensor_of(const std::vector<float>& values, std::int64_t out, std::int64_t in) {
  return {{DType::kF32, {out, in}}, reinterpret_cast<const std::byte*>(values.data())};
}

/// Weights that int8 holds exactly: each row has a 127 in it, so that its scale is 1.
std::vector<float> integer_weights(std::mt19937& rng, std::int64_t out, std::int64_t in) {
  std::vector<float> w(static_cast<std::size_t>(out * in));
  for (float& value : w) value = static_cast<float>(static_cast<int>(rng() % 255) - 127);
  for (std::int64_t r = 0; r < out; ++r) {
    w[static_cast<std::size_t>(r * in + rng() % static_cast<std::uint64_t>(in))] =
        rng() % 2 == 0 ? 127 : -127;
  }
  return w;
}

/// Rows of either dtype, and what they stand for.
struct Rows {
  DType dtype;
  std::vector<std::uint32_t> ring;
  std::vector<std::int16_t> i16;

  Rows(DType type, std::int64_t count, const std::function<std::uint32_t()>& draw) : dtype(type) {
    const auto size = static_cast<std::size_t>(count);
    if (type == DType::kRing) {
      ring.resize(size);
      for (auto& value : ring) value = draw();
    } else {
      i16.resize(size);
      for (auto& value : i16) value = static_cast<std::int16_t>(draw());
    }
  }
  [[nodiscard]] const void* data() const {
    return dtype == DType::kRing ? static_cast<const void*>(ring.data()) : i16.data();
  }
  [[nodiscard]] std::int64_t at(std::size_t i) const {
    return dtype == DType::kRing ? std::int64_t{ring[i]} : std::int64_t{i16[i]};
  }
};

/// What a product should be, in 64 bits, one element at a time. |x w| < 2^39, and 32768 of those
/// are below 2^54.
std::vector<std::uint32_t> reference(const Rows& x, std::int64_t rows, const std::vector<float>& w,
                                     std::int64_t out, std::int64_t in) {
  std::vector<std::uint32_t> result;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t m = 0; m < out; ++m) {
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < in; ++k) {
        sum += x.at(static_cast<std::size_t>(r * in + k)) *
               static_cast<std::int64_t>(w[static_cast<std::size_t>(m * in + k)]);
      }
      result.push_back(to_field(sum));
    }
  }
  return result;
}

std::vector<std::uint32_t> multiply(const RingKernel& kernel, const std::vector<float>& w,
                                    std::int64_t out, std::int64_t in, const Rows& x,
                                    std::int64_t rows) {
  const BufferPool pool;
  const RingMatrix packed = pack_ring_matrix(pool, tensor_of(w, out, in), kernel);
  std::vector<std::uint32_t> y(static_cast<std::size_t>(rows * out) + 1, 0xdeadbeef);
  ring_multiply(pool, packed, x.dtype, x.data(), rows, DType::kRing, y.data());
  EXPECT_EQ(y.back(), 0xdeadbeef) << "written past the end";
  y.pop_back();
  std::vector<std::uint16_t> upper(static_cast<std::size_t>(rows * out) + 1, 0xdead);
  ring_multiply(pool, packed, x.dtype, x.data(), rows, DType::kRing16, upper.data());
  EXPECT_EQ(upper.back(), 0xdead) << "written past the end";
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(upper[i], to_ring16(y[i])) << kernel.name << " rounds element " << i;
    if (::testing::Test::HasFailure()) break;
  }
  return y;
}

void expect_exact(const std::vector<float>& w, std::int64_t out, std::int64_t in, const Rows& x,
                  std::int64_t rows) {
  const std::vector<std::uint32_t> expected = reference(x, rows, w, out, in);
  for (const RingKernel* kernel : kernels()) {
    EXPECT_TRUE(multiply(*kernel, w, out, in, x, rows) == expected)
        << kernel->name << ": [" << rows << ", " << in << "] " << dtype_name(x.dtype) << " times ["
        << out << ", " << in << "]";
  }
}

TEST(RingMatrixTest, ProductsOfAnyShapeAreExactOnEveryPath) {
  std::mt19937 rng(1);
  const auto element = [&] { return static_cast<std::uint32_t>(rng() % kFieldPrime); };
  for (const auto& [rows, in, out] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                              {1, 64, 16},
                                                                              {2, 63, 15},
                                                                              {3, 65, 17},
                                                                              {4, 7, 33},
                                                                              {5, 200, 47},
                                                                              {6, 513, 48},
                                                                              {7, 100, 49},
                                                                              {8, 128, 80},
                                                                              {15, 31, 200},
                                                                              {16, 64, 96},
                                                                              {17, 130, 193},
                                                                              {70, 77, 50},
                                                                              {33, 1100, 9},
                                                                              {130, 20, 7},
                                                                              {1, 4200, 20}}) {
    const std::vector<float> w = integer_weights(rng, out, in);
    for (const DType dtype : {DType::kRing, DType::kI16}) {
      expect_exact(w, out, in, Rows(dtype, rows * in, element), rows);
    }
  }
}

TEST(RingMatrixTest, EveryNumberOfRowsIsExact) {
  std::mt19937 rng(2);
  const std::vector<float> w = integer_weights(rng, 37, 70);
  for (std::int64_t rows = 1; rows <= 70; ++rows) {
    for (const DType dtype : {DType::kRing, DType::kI16}) {
      expect_exact(w, 37, 70, Rows(dtype, rows * 70, [&] { return rng() % kFieldPrime; }), rows);
    }
  }
}

/// Rows and weights at the ends of their ranges, of one sign and of two, where a path that
/// saturates or wraps would show.
TEST(RingMatrixTest, ExtremeValuesAreExactUpToTheMostTerms) {
  const std::vector<std::uint32_t> ends = {kFieldPrime - 1,
                                           kFieldPrime / 2,
                                           kFieldPrime / 2 + 1,
                                           0x7f00ffff,
                                           0x3f807fff,
                                           0x3f808000,
                                           0x8000,
                                           0x7fff,
                                           0xffff,
                                           0x7effffff,
                                           1};
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kOut = 18;
  for (const std::int64_t in : {std::int64_t{512}, std::int64_t{1025}, std::int64_t{8191},
                                kMaxRingTerms - 1, kMaxRingTerms}) {
    std::vector<float> w(static_cast<std::size_t>(kOut * in));
    for (std::int64_t m = 0; m < kOut; ++m) {
      for (std::int64_t k = 0; k < in; ++k) {
        const bool negative = m % 3 == 1 || (m % 3 == 2 && k % 2 == 0);
        w[static_cast<std::size_t>(m * in + k)] = negative ? -127 : 127;
      }
    }
    for (const std::uint32_t end : ends) {
      expect_exact(w, kOut, in, Rows(DType::kRing, kRows * in, [&] { return end; }), kRows);
    }
    for (const std::uint32_t end : {0x8000U, 0x7fffU, 0xffffU}) {
      expect_exact(w, kOut, in, Rows(DType::kI16, kRows * in, [&] { return end; }), kRows);
    }
  }
}

TEST(RingMatrixTest, ElementsPastThePrimeCountModuloIt) {
  std::mt19937 rng(3);
  const std::vector<float> w = integer_weights(rng, 20, kMaxRingTerms);
  const std::vector<std::uint32_t> past = {kFieldPrime, 0xffffffff, 0x80000000,
                                           kFieldPrime * 2 - 1};
  for (const std::uint32_t value : past) {
    expect_exact(w, 20, kMaxRingTerms, Rows(DType::kRing, kMaxRingTerms, [&] { return value; }), 1);
  }
  for (const float end : {127.0F, -127.0F}) {  // the largest sums that there are
    const std::vector<float> most(static_cast<std::size_t>(16 * kMaxRingTerms), end);
    expect_exact(most, 16, kMaxRingTerms,
                 Rows(DType::kRing, kMaxRingTerms, [] { return 0xffffffffU; }), 1);
  }
}

TEST(RingMatrixTest, AnyNumberOfThreadsGivesTheSame) {
  std::mt19937 rng(4);
  constexpr std::int64_t kRows = 140, kIn = 150, kOut = 450;
  const std::vector<float> w = integer_weights(rng, kOut, kIn);
  const Rows x(DType::kRing, kRows * kIn, [&] { return rng() % kFieldPrime; });
  const std::vector<std::uint32_t> expected = reference(x, kRows, w, kOut, kIn);
  for (const int count : {1, 2, 3, 7}) {
    set_threads(count);
    for (const RingKernel* kernel : kernels()) {
      EXPECT_TRUE(multiply(*kernel, w, kOut, kIn, x, kRows) == expected)
          << kernel->name << " on " << count << " threads";
    }
  }
  set_threads(0);
}

TEST(RingMatrixTest, MoreRowsThanAreTakenApartAtOnceAreExact) {
  std::mt19937 rng(7);
  constexpr std::int64_t kRows = 520;  // of 128 KiB of digits: more than 64 MiB
  const std::vector<float> w = integer_weights(rng, 2, kMaxRingTerms);
  const Rows x(DType::kRing, kRows * kMaxRingTerms,
               [&] { return static_cast<std::uint32_t>(rng() % kFieldPrime); });
  EXPECT_TRUE(multiply(*ring_kernel(), w, 2, kMaxRingTerms, x, kRows) ==
              reference(x, kRows, w, 2, kMaxRingTerms));
}

TEST(RingMatrixTest, SeveralProductsOfOneInputAreTheSameAsEachAlone) {
  std::mt19937 rng(5);
  constexpr std::int64_t kIn = 300;
  const BufferPool pool;
  for (const std::int64_t rows : {1, 40}) {
    const Rows x(DType::kI16, rows * kIn, [&] { return static_cast<std::uint32_t>(rng()); });
    for (const RingKernel* kernel : kernels()) {
      std::vector<RingMatrix> weights;
      std::vector<std::vector<std::uint32_t>> alone;
      std::vector<std::vector<std::uint32_t>> together;
      std::vector<RingOutput> products;
      for (const std::int64_t out : {100, 16, 250}) {
        const std::vector<float> w = integer_weights(rng, out, kIn);
        weights.push_back(pack_ring_matrix(pool, tensor_of(w, out, kIn), *kernel));
        alone.emplace_back(static_cast<std::size_t>(rows * out));
        together.emplace_back(static_cast<std::size_t>(rows * out));
        ring_multiply(pool, weights.back(), x.dtype, x.data(), rows, DType::kRing,
                      alone.back().data());
      }
      for (std::size_t i = 0; i < 3; ++i) products.push_back({&weights[i], together[i].data()});
      ring_multiply(pool, products, x.dtype, x.data(), rows, DType::kRing);
      EXPECT_EQ(together, alone) << kernel->name;
    }
  }
}

TEST(RingMatrixTest, WeightsTakeOneByteAnElement) {
  const std::vector<float> w(std::size_t{160} * 640, 1);
  const RingMatrix packed = pack_ring_matrix(BufferPool(), tensor_of(w, 160, 640));
  EXPECT_EQ(packed.bytes(), 160 * 640 + 160 * 4);
}

TEST(RingMatrixTest, WeightsAreThoseOfInt8Weight) {
  std::mt19937 rng(6);
  std::normal_distribution<float> normal;
  std::vector<float> w(std::size_t{21} * 50);
  for (float& value : w) value = normal(rng);
  std::vector<std::int8_t> q(w.size());
  std::vector<float> scales(21);
  quantize_weight_rows(tensor_of(w, 21, 50), 0, 21, q, scales);
  const Rows x(DType::kRing, 50, [&] { return rng() % kFieldPrime; });
  const std::vector<std::uint32_t> expected =
      reference(x, 1, std::vector<float>(q.begin(), q.end()), 21, 50);
  for (const RingKernel* kernel : kernels()) {
    EXPECT_EQ(multiply(*kernel, w, 21, 50, x, 1), expected) << kernel->name;
  }
}

TEST(RingMatrixTest, WhatCannotBeExactIsRefused) {
  const std::vector<float> wide(static_cast<std::size_t>(kMaxRingTerms + 1), 1);
  try {
    (void)pack_ring_matrix(BufferPool(), tensor_of(wide, 1, kMaxRingTerms + 1));
    FAIL() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  }
  std::vector<float> bad(std::size_t{70} * 10, 1);
  bad[335] = INFINITY;
  bad[655] = NAN;
  try {
    (void)pack_ring_matrix(BufferPool(), tensor_of(bad, 70, 10));
    FAIL() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("row 33 "));
  }
}

TEST(RingMatrixTest, ThePathFollowsTheProcessorAndItsCap) {
  const std::string path = ring_isa();
  if (has_amx_int8()) {
    EXPECT_EQ(path, "amx_int8");
  } else if (has_vnni()) {
    EXPECT_EQ(path, "avx512_vnni");
  } else {
    EXPECT_EQ(path, isa() >= Isa::kAvx2 ? "avx2" : "portable");
  }
}

}  // namespace
}  // namespace airlock::testing::ring_matrix_test
