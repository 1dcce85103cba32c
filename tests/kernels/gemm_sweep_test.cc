// Products of every number of terms that a model may ask for, in every dtype and by every way to
// oneDNN, against sums in f64.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/kernels/gemm.h"
#include "airlock/kernels/weight_matrix.h"
#include "airlock/math/convert.h"

#include "tests/math/random.h"

namespace airlock::testing::gemm_sweep_test {
namespace {

/// 1 to 300, and two either side of the powers of two up to 8192.
std::vector<std::int64_t> swept_terms() {
  std::set<std::int64_t> all;
  for (std::int64_t k = 1; k <= 300; ++k) all.insert(k);
  for (std::int64_t power = 512; power <= 8192; power *= 2) {
    for (std::int64_t k = power - 2; k <= power + 2; ++k) all.insert(k);
  }
  return {all.begin(), all.end()};
}

/// Rows and columns that fill no block of oneDNN's: one row as in decode, and the rest of a block
/// in rows, in columns and in both. Columns are even, for two heads of them.
struct Size {
  std::int64_t m, n;
};
constexpr Size kSizes[] = {{1, 80}, {67, 34}};

/// Largest relative error of one rounding to `dtype`.
double rounding(DType dtype) {
  return dtype == DType::kBF16 ? 0x1p-8 : 0x1p-24;
}

/// `count` of one stream of random values, from its begin or its end on.
std::vector<float> values(std::int64_t count, bool from_end) {
  static const std::vector<float> all = testing::random_floats(160 * 8194, 1);
  return from_end ? std::vector<float>{all.end() - count, all.end()}
                  : std::vector<float>{all.begin(), all.begin() + count};
}

/// One product a [m, k] x b [k, n] of random values that `dtype` holds, with its exact sums.
struct Problem {
  std::int64_t m, n, k;
  DType dtype;
  std::vector<std::byte> a, b, b_transposed;
  std::vector<double> sums, magnitudes;  ///< [m, n]: of a b, and of |a| |b|

  Problem(Size size, std::int64_t terms, DType type) : m(size.m), n(size.n), k(terms), dtype(type) {
    const std::vector<float> left = rounded(values(m * k, false), a);
    const std::vector<float> right = rounded(values(k * n, true), b);
    std::vector<float> across(right.size());
    sums.assign(static_cast<std::size_t>(m * n), 0);
    magnitudes = sums;
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t column = 0; column < n; ++column) {
        across[at(column, i, k)] = right[at(i, column, n)];
      }
      for (std::int64_t row = 0; row < m; ++row) {
        const double x = left[at(row, i, k)];
        for (std::int64_t column = 0; column < n; ++column) {
          const double term = x * right[at(i, column, n)];
          sums[at(row, column, n)] += term;
          magnitudes[at(row, column, n)] += std::fabs(term);
        }
      }
    }
    rounded(across, b_transposed);
  }

  static std::size_t at(std::int64_t row, std::int64_t column, std::int64_t columns) {
    return static_cast<std::size_t>(row * columns + column);
  }

  /// `values` as `dtype` holds them, which go to `bytes`.
  std::vector<float> rounded(std::vector<float> values, std::vector<std::byte>& bytes) const {
    const auto count = static_cast<std::int64_t>(values.size());
    bytes.resize(values.size() * dtype_size(dtype));
    convert_elements(DType::kF32, values.data(), dtype, bytes.data(), count);
    convert_elements(dtype, bytes.data(), DType::kF32, values.data(), count);
    return values;
  }

  /// [rows, heads, columns] from [rows, columns] (or, `of_heads`, [heads, rows, columns]): the same
  /// for each of two heads.
  std::vector<std::byte> twice(const std::vector<std::byte>& matrix, std::int64_t rows,
                               bool of_heads) const {
    std::vector<std::byte> both;
    const std::size_t step =
        of_heads ? matrix.size() : matrix.size() / static_cast<std::size_t>(rows);
    for (std::size_t row = 0; row < matrix.size(); row += step) {
      for (int head = 0; head < 2; ++head) {
        both.insert(both.end(), matrix.begin() + static_cast<std::ptrdiff_t>(row),
                    matrix.begin() + static_cast<std::ptrdiff_t>(row + step));
      }
    }
    return both;
  }

  /// Sums of k products in f32, in any order: (k + 1) roundings of the terms' magnitudes (Higham,
  /// Accuracy and Stability, 3.1), then one to the output's dtype.
  void expect(const std::vector<std::byte>& out, DType out_dtype, const std::string& way) const {
    std::vector<float> got(sums.size());
    convert_elements(out_dtype, out.data(), DType::kF32, got.data(),
                     static_cast<std::int64_t>(got.size()));
    for (std::size_t i = 0; i < got.size(); ++i) {
      double bound = static_cast<double>(k + 1) * rounding(DType::kF32) * magnitudes[i];
      bound += rounding(out_dtype) * (std::fabs(sums[i]) + bound);
      if (std::fabs(got[i] - sums[i]) <= bound) continue;  // and not if NaN
      ADD_FAILURE() << way << ", " << dtype_name(dtype) << ", " << m << " x " << k << " x " << n
                    << ": element " << i << " is " << got[i] << ", expected " << sums[i]
                    << " within " << bound;
      return;
    }
  }
};

class Products {
 public:
  explicit Products(TermsRule rule) : gemm_(pool_, Gemm::kPrimitives, std::move(rule)) {}
  Products() : gemm_(pool_) {}

  /// Every way that the operators of a worker take, and the runner's LM head.
  void check(const Problem& p, DType out) {
    packed(p, out);
    plain(p, out, false);
    plain(p, out, true);
    scores(p);
    mix(p, out);
  }

  /// Weights where they lie: by gemv or by sgemm.
  void check_stored(const Problem& p) {
    std::vector<std::byte> y = room(p, DType::kF32);
    std::vector<float> x(static_cast<std::size_t>(p.m * p.k));
    convert_elements(p.dtype, p.a.data(), DType::kF32, x.data(), p.m * p.k);
    multiply(gemm_, pool_, x.data(), p.m, {{}, {{p.dtype, {p.n, p.k}}, p.b_transposed.data()}},
             DType::kF32, y.data());
    p.expect(y, DType::kF32, "stored");
  }

 private:
  static std::vector<std::byte> room(const Problem& p, DType out, std::int64_t heads = 1) {
    return std::vector<std::byte>(static_cast<std::size_t>(heads * p.m * p.n) * dtype_size(out));
  }

  void packed(const Problem& p, DType out) {
    const PackedMatrix w = gemm_.pack({{p.dtype, {p.n, p.k}}, p.b_transposed.data()}, p.dtype);
    std::vector<std::byte> y = room(p, out);
    gemm_.multiply(p.a.data(), p.m, w, out, y.data());
    p.expect(y, out, "packed");
  }

  void plain(const Problem& p, DType out, bool transposed) {
    BatchedProduct product{.m = p.m, .k = p.k, .n = p.n, .in = p.dtype, .out = out};
    product.transpose_b = transposed;
    std::vector<std::byte> y = room(p, out);
    gemm_.multiply(product, p.a.data(), transposed ? p.b_transposed.data() : p.b.data(), y.data());
    p.expect(y, out, transposed ? "transposed" : "plain");
  }

  /// q k^T as FusedAttention has it: two heads, token-major, of the same values.
  void scores(const Problem& p) {
    BatchedProduct product{.batch = 2, .m = p.m, .k = p.k, .n = p.n, .in = p.dtype};
    product.transpose_b = product.a_token_major = product.b_token_major = true;
    const std::vector<std::byte> q = p.twice(p.a, p.m, false);
    const std::vector<std::byte> k = p.twice(p.b_transposed, p.n, false);
    std::vector<std::byte> y = room(p, DType::kF32, 2);
    gemm_.multiply(product, q.data(), k.data(), y.data());
    const auto half = static_cast<std::ptrdiff_t>(y.size() / 2);
    p.expect({y.begin(), y.begin() + half}, DType::kF32, "scores");
    p.expect({y.begin() + half, y.end()}, DType::kF32, "scores of the second head");
  }

  /// Weights times v as FusedAttention has it: two heads that share the columns.
  void mix(const Problem& p, DType out) {
    BatchedProduct product{.batch = 2, .m = p.m, .k = p.k, .n = p.n / 2, .in = p.dtype, .out = out};
    product.b_token_major = product.out_token_major = true;
    const std::vector<std::byte> weights = p.twice(p.a, p.m, true);
    std::vector<std::byte> y = room(p, out);
    gemm_.multiply(product, weights.data(), p.b.data(), y.data());
    p.expect(y, out, "mixed values");
  }

  BufferPool pool_;
  Gemm gemm_;
};

/// bf16 products are written as f32 or bf16, which are different code of oneDNN's: by turns.
DType out_dtype(DType in, std::int64_t terms) {
  return in == DType::kBF16 && terms % 2 == 0 ? DType::kBF16 : DType::kF32;
}

std::vector<DType> compute_dtypes() {
  if (onednn_has_bf16()) return {DType::kF32, DType::kBF16};
  return {DType::kF32};
}

TEST(GemmSweepTest, ProductsOfAnyNumberOfTermsAreRight) {
  Products products;
  for (const std::int64_t k : swept_terms()) {
    for (const Size size : kSizes) {
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        const Problem problem(size, k, dtype);
        products.check_stored(problem);
        const bool computed = dtype == DType::kF32 || (dtype == DType::kBF16 && onednn_has_bf16());
        if (computed) products.check(problem, out_dtype(dtype, k));
      }
    }
  }
}

TEST(GemmSweepTest, ProductsThatTheLibraryWouldGetWrongArePaddedAndRight) {
  Products products([](std::int64_t terms, DType) { return (terms + 31) / 32 * 32; });
  for (const std::int64_t k : swept_terms()) {
    for (const Size size : kSizes) {
      for (const DType dtype : compute_dtypes()) {
        products.check({size, k, dtype}, out_dtype(dtype, k));
      }
    }
  }
}

}  // namespace
}  // namespace airlock::testing::gemm_sweep_test
