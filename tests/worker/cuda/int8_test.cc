#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "airlock/math/convert.h"
#include "airlock/worker/cuda/kernels/convert.h"
#include "airlock/worker/cuda/layer_layout.h"

#include "tests/worker/backend_model.h"
#include "tests/worker/backend_reference.h"
#include "tests/worker/cuda/emulate.h"

namespace airlock::cuda::testing::int8_test {
namespace {

using airlock::testing::Bounded;
using airlock::testing::expect_within;
using airlock::testing::OwnedTensor;
using airlock::testing::random_tensor;

constexpr std::int8_t kGarbage = -128;

/// int8 rows as they lie on the device.
struct Rows {
  std::vector<std::int8_t> elements;
  std::vector<float> scales;
};

/// As the uploader does it: rows padded with zeros, memory behind them that belongs to others.
Rows uploaded(const OwnedTensor& w) {
  const std::int64_t rows = w.spec().shape[0];
  const std::int64_t in = w.spec().shape[1];
  const OwnedTensor narrow(TensorSpec{DType::kI8, w.spec().shape});
  convert(w, narrow.tensor());
  const std::int64_t stride = row_stride(in, DType::kI8);
  Rows result{std::vector<std::int8_t>(static_cast<std::size_t>((rows + kInt8Columns - 1) * stride),
                                       kGarbage),
              std::vector<float>(static_cast<std::size_t>(rows))};
  std::fill_n(result.elements.begin(), rows * stride, std::int8_t{0});
  for (std::int64_t row = 0; row < rows; ++row) {
    std::memcpy(result.elements.data() + row * stride, narrow.tensor().data + row * in,
                static_cast<std::size_t>(in));
  }
  std::memcpy(result.scales.data(), narrow.tensor().data + rows * in,
              result.scales.size() * sizeof(float));
  return result;
}

/// By the kernel, into memory full of garbage.
template <typename From>
Rows quantized(const OwnedTensor& x) {
  ConvertArgs args;
  args.rows = x.spec().shape[0];
  args.from_stride = args.columns = x.spec().shape[1];
  args.to_stride = row_stride(args.columns, DType::kI8);
  Rows result{
      std::vector<std::int8_t>(
          static_cast<std::size_t>(padded(args.rows, kInt8Tokens) * args.to_stride), kGarbage),
      std::vector<float>(static_cast<std::size_t>(args.rows))};
  args.from = x.tensor().data;
  args.to = result.elements.data();
  args.to_scales = result.scales.data();
  run_grid(grid_of_rows(args.rows), [&](const BlockId& block, void* shared) {
    quantize_block<From>(args, block, static_cast<float*>(shared));
  });
  return result;
}

/// The product that cuBLASLt is asked for, padding included: [rows, columns].
std::vector<std::int32_t> sums_of(const Rows& x, std::int64_t rows, const Rows& w,
                                  std::int64_t columns, std::int64_t stride) {
  std::vector<std::int32_t> sums(static_cast<std::size_t>(rows * columns));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      std::int32_t sum = 0;
      for (std::int64_t i = 0; i < stride; ++i) {
        sum += std::int32_t{x.elements[static_cast<std::size_t>(row * stride + i)]} *
               w.elements[static_cast<std::size_t>(column * stride + i)];
      }
      sums[static_cast<std::size_t>(row * columns + column)] = sum;
    }
  }
  return sums;
}

struct ProductShape {
  std::int64_t tokens, in, out;
};

template <typename From, typename To>
void check_product(const ProductShape& shape) {
  std::mt19937_64 rng(11);
  const OwnedTensor x = random_tensor(rng, dtype_of<From>(), {shape.tokens, shape.in});
  const OwnedTensor w = random_tensor(rng, DType::kBF16, {shape.out, shape.in}, 0.1);
  const Rows x_rows = quantized<From>(x);
  const Rows w_rows = uploaded(w);
  const std::int64_t columns = padded(shape.out, kInt8Columns);
  const std::vector<std::int32_t> sums = sums_of(x_rows, padded(shape.tokens, kInt8Tokens), w_rows,
                                                 columns, row_stride(shape.in, DType::kI8));
  const Bounded expected = product(Bounded(x), Bounded(w), DType::kI8);
  // Whole, and as the second of two matrices that were multiplied as one.
  for (const std::int64_t first : {std::int64_t{0}, shape.out / 2}) {
    const OwnedTensor y(TensorSpec{dtype_of<To>(), {shape.tokens, shape.out - first}});
    SumsArgs args;
    args.sums = sums.data() + first;
    args.sums_stride = columns;
    args.row_scales = x_rows.scales.data();
    args.column_scales = w_rows.scales.data() + first;
    args.to = y.tensor().data;
    args.to_stride = args.columns = shape.out - first;
    args.rows = shape.tokens;
    run_grid(grid_over(args.rows, args.columns),
             [&](const BlockId& block, void*) { scale_sums_block<To>(args, block); });
    expect_within(
        y, columns_of(expected, first, shape.out - first),
        fmt::format("[{}, {}] to {}, from {} on", shape.tokens, shape.in, shape.out, first), 0.4);
  }
}

TEST(CudaInt8, QuantizedProductsAreWithinWhatTheirStepsAllow) {
  for (const ProductShape& shape :
       {ProductShape{1, 45, 103}, {5, 77, 45}, {33, 64, 140}, {70, 200, 1100}}) {
    check_product<float, float>(shape);
    check_product<BF16, float>(shape);
    check_product<BF16, BF16>(shape);
    check_product<F16, F16>(shape);
  }
}

TEST(CudaInt8, SumsAreScaledAsFloatsAre) {
  // Past 2^24, where floats have no unit places; a row of zeros; the largest sums that there are.
  const std::array<std::int32_t, 6> sums = {16777217, -33554435, 0, 0, INT32_MAX, -INT32_MAX};
  const std::array<float, 3> rows = {0.5F, 0.0F, 0x1p-20F};
  const std::array<float, 2> columns = {2.0F, 0x1p-3F};
  std::array<float, 6> got{};
  const SumsArgs args{sums.data(), 2, rows.data(), columns.data(), got.data(), 2, 3, 2};
  run_grid(grid_over(3, 2),
           [&](const BlockId& block, void*) { scale_sums_block<float>(args, block); });
  const std::array<float, 6> expected = {16777216.0F, -0x1p-4F * 33554436.0F, 0, 0, 0x1p12F,
                                         -0x1p8F};
  EXPECT_EQ(got, expected);
}

TEST(CudaInt8, WidthsWhoseSumsCouldPass32BitsAreRefused) {
  ModelConfig config = *find_preset("llama-3.1-70b");
  check_sums(config, DType::kI8);
  config.ffn = 133'144;  // 127 * 127 * 133144 = 2^31 - 1 - 4071
  check_sums(config, DType::kI8);
  config.ffn += 1;
  check_sums(config, DType::kBF16);
  EXPECT_THROW(check_sums(config, DType::kI8), Error);
}

}  // namespace
}  // namespace airlock::cuda::testing::int8_test
