// What backends should compute, in f64 and one step at a time, each value with a bound on how far a
// backend may be from it. Bounds follow from the roundings that a backend does, never from a guess.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "airlock/core/dtype.h"
#include "airlock/core/tensor.h"
#include "airlock/model/config.h"

namespace airlock::testing {

/// A matrix of exact values, and how far the backend's may be from each.
///
/// Worst case by default: errors add. Over the three or four products of a block that bound would
/// pass the values themselves, so there `independent` is set: errors then add as independent ones
/// do, by squares, and expect_within allows kDeviations of the result. (Each rounding counts with
/// its largest value. Hoeffding: a sum of independent errors |e_i| <= c_i passes t sqrt(sum c_i^2)
/// with a probability below 2 exp(-t^2 / 2); Higham and Mary 2019 on rounding errors.)
struct Bounded {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<double> value;
  std::vector<double> error;
  bool independent = false;

  Bounded() = default;
  Bounded(std::int64_t r, std::int64_t c);
  /// The tensor's own values, without error; leading dimensions become rows.
  explicit Bounded(ConstTensor tensor, bool errors_independent = false);

  [[nodiscard]] std::size_t at(std::int64_t row, std::int64_t column) const {
    return static_cast<std::size_t>(row * columns + column);
  }
};

/// Largest relative error of rounding to a float dtype: 2^-24, 2^-8 (bf16), 2^-11 (f16).
double rounding(DType dtype);

/// x once rounded to `dtype` (int8: by rows).
Bounded rounded(Bounded x, DType dtype);
/// x w^T with both rounded to `compute` and sums in f32. w: [out, in].
Bounded product(const Bounded& x, const Bounded& w, DType compute);
/// Columns [begin, begin + count) of x.
Bounded columns_of(const Bounded& x, std::int64_t begin, std::int64_t count);
Bounded transposed(const Bounded& x);
/// b's rows under a's.
Bounded stacked(const Bounded& a, const Bounded& b);
/// RoPE of [tokens, heads * head_dim], row t at position + t.
Bounded rope(Bounded x, const ModelConfig& config, std::int64_t position);
/// Causal attention of q [tokens, heads * head_dim] at `position` over k, v [position + tokens,
/// kv_heads * head_dim], all rounded to `compute`.
Bounded attention(const Bounded& q, const Bounded& k, const Bounded& v, std::int64_t heads,
                  std::int64_t kv_heads, std::int64_t position, DType compute);
/// SiLU(gate) * up.
Bounded silu_mul(const Bounded& gate, const Bounded& up);

inline constexpr double kDeviations = 7;  ///< 2 exp(-7^2 / 2) = 5e-11

/// Expects `got`, rounded to its dtype on its way, to be within the bounds of `expected`; and the
/// bounds to be tight enough to mean something: in the mean below `slack` times the values.
void expect_within(ConstTensor got, const Bounded& expected, const std::string& what,
                   double slack = 0.1);

}  // namespace airlock::testing
