#include "airlock/worker/cuda/kernels/convert.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "airlock/math/convert.h"

#include "tests/math/random.h"
#include "tests/worker/cuda/emulate.h"

namespace airlock::cuda::testing::convert_test {
namespace {

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kStride = 1100;  // rows are longer than what is taken of them

/// Numbers of every kind, NaN last in each row.
std::vector<float> any_floats() {
  std::vector<float> values = airlock::testing::random_floats(kRows * kStride, 3, 50);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> special = {0.0F, -0.0F,   kInfinity, -kInfinity, 1e-40F,        65504.0F,
                                      7e4F, 3.4e38F, -3.4e38F,  6e-8F,      1.0F + 0x1p-8F};
  std::copy(special.begin(), special.end(), values.begin() + kStride);
  std::fill_n(values.begin() + 2 * kStride, kStride, 0.0F);
  values[3 * kStride + 7] = std::nanf("");
  return values;
}

ConvertArgs args_of(const void* from, void* to, std::int64_t columns) {
  ConvertArgs args;
  args.from = from;
  args.from_stride = kStride;
  args.to = to;
  args.to_stride = columns;
  args.rows = kRows;
  args.columns = columns;
  return args;
}

/// `columns` of every row side by side.
template <typename T>
std::vector<T> packed(const std::vector<T>& values, std::int64_t columns) {
  std::vector<T> result;
  for (std::int64_t row = 0; row < kRows; ++row) {
    result.insert(result.end(), values.begin() + row * kStride,
                  values.begin() + row * kStride + columns);
  }
  return result;
}

template <typename T>
const std::byte* bytes_of(const std::vector<T>& values) {
  return reinterpret_cast<const std::byte*>(values.data());
}
template <typename T>
std::byte* bytes_of(std::vector<T>& values) {
  return reinterpret_cast<std::byte*>(values.data());
}

/// Bits are equal, or both are NaN.
template <typename T>
void expect_same(const std::vector<T>& got, const std::vector<T>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const float a = to_float(got[i]);
    const float b = to_float(expected[i]);
    if (std::isnan(a) && std::isnan(b)) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(a), std::bit_cast<std::uint32_t>(b)) << i;
  }
}

template <typename From, typename To>
void check_floats() {
  const std::vector<From> from = narrowed<From>(any_floats());
  for (const std::int64_t columns : {1, 255, 257, 1024, 1100}) {
    std::vector<To> got(static_cast<std::size_t>(kRows * columns));
    const ConvertArgs args = args_of(from.data(), got.data(), columns);
    run_grid(grid_over(kRows, columns),
             [&](const BlockId& block, void*) { convert_block<From, To>(args, block); });
    const std::vector<From> dense = packed(from, columns);
    std::vector<To> expected(got.size());
    convert_elements(dtype_of<From>(), dense.data(), dtype_of<To>(), expected.data(),
                     static_cast<std::int64_t>(dense.size()));
    expect_same(got, expected);
  }
}

TEST(CudaConvert, FloatsRoundAsOnTheCpu) {
  check_floats<float, float>();
  check_floats<float, BF16>();
  check_floats<float, F16>();
  check_floats<BF16, float>();
  check_floats<BF16, F16>();
  check_floats<F16, float>();
  check_floats<F16, BF16>();
}

template <typename From>
void check_int8() {
  const std::vector<From> from = narrowed<From>(any_floats());
  for (const std::int64_t columns : {8, 300, 1100}) {
    const TensorSpec spec{DType::kI8, {kRows, columns}};
    const auto elements = static_cast<std::size_t>(kRows * columns);
    std::vector<std::int8_t> got(elements);
    std::vector<float> scales(kRows);
    ConvertArgs args = args_of(from.data(), got.data(), columns);
    args.to_scales = scales.data();
    run_grid(grid_of_rows(kRows), [&](const BlockId& block, void* shared) {
      quantize_block<From>(args, block, static_cast<float*>(shared));
    });
    const std::vector<From> dense = packed(from, columns);
    std::vector<std::int8_t> expected(static_cast<std::size_t>(spec.bytes()));
    convert({{dtype_of<From>(), spec.shape}, bytes_of(dense)}, {spec, bytes_of(expected)});
    EXPECT_EQ(std::memcmp(got.data(), expected.data(), elements), 0) << columns;
    EXPECT_EQ(std::memcmp(scales.data(), expected.data() + elements, kRows * sizeof(float)), 0);

    std::vector<From> back(elements);
    ConvertArgs wide = args_of(got.data(), back.data(), columns);
    wide.from_stride = columns;
    wide.from_scales = scales.data();
    run_grid(grid_over(kRows, columns),
             [&](const BlockId& block, void*) { dequantize_block<From>(wide, block); });
    std::vector<From> expected_back(elements);
    convert({spec, bytes_of(expected)}, {{dtype_of<From>(), spec.shape}, bytes_of(expected_back)});
    expect_same(back, expected_back);
  }
}

TEST(CudaConvert, Int8RowsAndTheirScalesAreTheCpus) {
  check_int8<float>();
  check_int8<BF16>();
  check_int8<F16>();
}

TEST(CudaConvert, MoreRowsThanAGridHasAreAllTaken) {
  constexpr std::int64_t kMany = kMaxGridY + 70;
  const std::vector<float> from = airlock::testing::random_floats(kMany, 9);
  std::vector<BF16> to(from.size());
  ConvertArgs args = args_of(from.data(), to.data(), 1);
  args.from_stride = 1;
  args.rows = kMany;
  const Grid grid = grid_over(kMany, 1);
  EXPECT_EQ(grid.y, kMaxGridY);
  run_grid(grid, [&](const BlockId& block, void*) { convert_block<float, BF16>(args, block); });
  expect_same(to, narrowed<BF16>(from));
}

}  // namespace
}  // namespace airlock::cuda::testing::convert_test
