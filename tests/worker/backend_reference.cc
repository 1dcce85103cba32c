#include "tests/worker/backend_reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include <gtest/gtest.h>

#include "tests/worker/backend_model.h"

namespace airlock::testing {
namespace {

constexpr double kF32Unit = 0x1p-24;

/// Inverse frequency of pair i, as Hugging Face's _compute_llama3_parameters has it.
double inverse_frequency(const ModelConfig& config, std::int64_t i) {
  const double plain = std::pow(
      config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
  if (!config.rope_scaling) return plain;
  const Llama3RopeScaling& scaling = *config.rope_scaling;
  const double wavelength = 2 * std::numbers::pi / plain;
  const auto original = static_cast<double>(scaling.original_max_position);
  if (wavelength < original / scaling.high_freq_factor) return plain;
  if (wavelength > original / scaling.low_freq_factor) return plain / scaling.factor;
  const double smooth = (original / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * plain / scaling.factor + smooth * plain;
}

/// Adds errors as Bounded says.
class ErrorSum {
 public:
  explicit ErrorSum(bool independent) : independent_(independent) {}
  void add(double error) { total_ += independent_ ? error * error : error; }
  [[nodiscard]] double total() const { return independent_ ? std::sqrt(total_) : total_; }

 private:
  bool independent_;
  double total_ = 0;
};

double added(bool independent, double a, double b) {
  return independent ? std::hypot(a, b) : a + b;
}

/// Rounding leaves such a value as it is.
bool representable(double value, DType dtype) {
  const auto narrow = static_cast<float>(value);
  switch (dtype) {
    case DType::kF32:
      return narrow == value;
    case DType::kBF16:
      return BF16::from_float(narrow).to_float() == value;
    case DType::kF16:
      return F16::from_float(narrow).to_float() == value;
    default:
      return false;
  }
}

}  // namespace

Bounded::Bounded(std::int64_t r, std::int64_t c)
    : rows(r),
      columns(c),
      value(static_cast<std::size_t>(r * c)),
      error(static_cast<std::size_t>(r * c)) {}

Bounded::Bounded(ConstTensor tensor, bool errors_independent)
    : rows(tensor.spec.shape.rows()),
      columns(tensor.spec.shape.columns()),
      value(decode(tensor)),
      error(value.size()),
      independent(errors_independent) {}

double rounding(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return 0x1p-8;
    case DType::kF16:
      return 0x1p-11;
    default:
      return kF32Unit;
  }
}

Bounded rounded(Bounded x, DType dtype) {
  for (std::int64_t row = 0; row < x.rows; ++row) {
    double peak = 0;
    for (std::int64_t i = 0; i < x.columns; ++i) {
      peak = std::max(peak, std::abs(x.value[x.at(row, i)]) + x.error[x.at(row, i)]);
    }
    for (std::int64_t i = 0; i < x.columns; ++i) {
      double& error = x.error[x.at(row, i)];
      if (error == 0 && representable(x.value[x.at(row, i)], dtype)) continue;
      const double magnitude = std::abs(x.value[x.at(row, i)]) + error;
      // int8: half a step of the row's scale, whose own rounding and the division's are f32's.
      const double step = dtype == DType::kI8 ? peak / 127 * (0.5 + 127 * 4 * kF32Unit)
                                              : magnitude * rounding(dtype);
      const double subnormal = dtype == DType::kF16 ? 0x1p-25 : 0;
      error = added(x.independent, error, step + subnormal);
    }
  }
  return x;
}

Bounded product(const Bounded& x, const Bounded& w, DType compute) {
  const Bounded a = rounded(x, compute);
  const Bounded b = rounded(w, compute);
  Bounded y(a.rows, b.rows);
  y.independent = x.independent;
  const double sums = static_cast<double>(a.columns + 1) * kF32Unit;
  for (std::int64_t row = 0; row < a.rows; ++row) {
    for (std::int64_t column = 0; column < b.rows; ++column) {
      double value = 0;
      ErrorSum error(y.independent);
      for (std::int64_t i = 0; i < a.columns; ++i) {
        const std::size_t left = a.at(row, i);
        const std::size_t right = b.at(column, i);
        const double p = std::abs(a.value[left]);
        const double q = std::abs(b.value[right]);
        value += a.value[left] * b.value[right];
        error.add(p * b.error[right] + a.error[left] * b.error[right]);
        error.add(q * a.error[left]);
        error.add(sums * (p + a.error[left]) * (q + b.error[right]));
      }
      y.value[y.at(row, column)] = value;
      y.error[y.at(row, column)] = error.total();
    }
  }
  return y;
}

Bounded columns_of(const Bounded& x, std::int64_t begin, std::int64_t count) {
  Bounded part(x.rows, count);
  part.independent = x.independent;
  for (std::int64_t row = 0; row < x.rows; ++row) {
    for (std::int64_t i = 0; i < count; ++i) {
      part.value[part.at(row, i)] = x.value[x.at(row, begin + i)];
      part.error[part.at(row, i)] = x.error[x.at(row, begin + i)];
    }
  }
  return part;
}

Bounded transposed(const Bounded& x) {
  Bounded y(x.columns, x.rows);
  y.independent = x.independent;
  for (std::int64_t row = 0; row < x.rows; ++row) {
    for (std::int64_t i = 0; i < x.columns; ++i) {
      y.value[y.at(i, row)] = x.value[x.at(row, i)];
      y.error[y.at(i, row)] = x.error[x.at(row, i)];
    }
  }
  return y;
}

Bounded stacked(const Bounded& a, const Bounded& b) {
  Bounded all = a;
  all.columns = b.columns;
  all.independent = b.independent;
  all.rows += b.rows;
  all.value.insert(all.value.end(), b.value.begin(), b.value.end());
  all.error.insert(all.error.end(), b.error.begin(), b.error.end());
  return all;
}

Bounded rope(Bounded x, const ModelConfig& config, std::int64_t position) {
  const std::int64_t half = config.head_dim / 2;
  for (std::int64_t row = 0; row < x.rows; ++row) {
    for (std::int64_t start = 0; start < x.columns; start += config.head_dim) {
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position + row) * inverse_frequency(config, i);
        const double c = std::cos(angle);
        const double s = std::sin(angle);
        const std::size_t first = x.at(row, start + i);
        const std::size_t second = x.at(row, start + half + i);
        const double a = x.value[first];
        const double b = x.value[second];
        const double a_error = x.error[first];
        const double b_error = x.error[second];
        // cos and sin are rounded to f32, two products and a sum are f32: four roundings.
        const double f32 = 4 * kF32Unit * (std::abs(a) + std::abs(b) + a_error + b_error);
        x.value[first] = a * c - b * s;
        x.value[second] = b * c + a * s;
        x.error[first] = added(x.independent, std::abs(c) * a_error, std::abs(s) * b_error) + f32;
        x.error[second] = added(x.independent, std::abs(c) * b_error, std::abs(s) * a_error) + f32;
      }
    }
  }
  return x;
}

Bounded attention(const Bounded& q, const Bounded& k, const Bounded& v, std::int64_t heads,
                  std::int64_t kv_heads, std::int64_t position, DType compute) {
  const std::int64_t head_dim = q.columns / heads;
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  Bounded out(q.rows, q.columns);
  out.independent = q.independent;
  for (std::int64_t head = 0; head < heads; ++head) {
    const std::int64_t shared = head / (heads / kv_heads) * head_dim;
    const Bounded scores =
        product(columns_of(q, head * head_dim, head_dim), columns_of(k, shared, head_dim), compute);
    const Bounded values = rounded(columns_of(v, shared, head_dim), compute);
    for (std::int64_t token = 0; token < q.rows; ++token) {
      const std::int64_t seen = position + token + 1;
      std::vector<double> weight(static_cast<std::size_t>(seen));
      std::vector<double> moved(weight.size());  // error of the exponent's argument
      double top = -INFINITY;
      double peak = 0;
      for (std::int64_t j = 0; j < seen; ++j) {
        const double s = scale * scores.value[scores.at(token, j)];
        weight[static_cast<std::size_t>(j)] = s;
        top = std::max(top, s);
        peak = std::max(peak, std::abs(s));
      }
      double sum = 0;
      double most_moved = 0;
      for (std::size_t j = 0; j < weight.size(); ++j) {
        // Scaling, log2(e) and the subtraction of the maximum round it in f32.
        const double f32 = 8 * kF32Unit * peak;
        moved[j] = scale * scores.error[scores.at(token, static_cast<std::int64_t>(j))] + f32;
        most_moved = std::max(most_moved, moved[j]);
        weight[j] = std::exp(weight[j] - top);
        sum += weight[j];
      }
      // f32's roundings of exp (a few) and of two sums, and the weight's own to the compute dtype.
      const double roundings = rounding(compute) + 2 * static_cast<double>(seen + 16) * kF32Unit;
      // Numerator and denominator move together, so to first order by the weighted difference.
      const double worst = std::expm1(2 * most_moved) * (1 + roundings);
      for (std::int64_t i = 0; i < head_dim; ++i) {
        double value = 0;
        for (std::int64_t j = 0; j < seen; ++j) {
          value += weight[static_cast<std::size_t>(j)] / sum * values.value[values.at(j, i)];
        }
        ErrorSum error(out.independent);
        for (std::int64_t j = 0; j < seen; ++j) {
          const double p = weight[static_cast<std::size_t>(j)] / sum;
          const std::size_t element = values.at(j, i);
          const double most = std::abs(values.value[element]) + values.error[element];
          const double shift = out.independent
                                   ? moved[static_cast<std::size_t>(j)] * (most + std::abs(value))
                                   : worst * most;
          error.add(p * shift);
          error.add(p * roundings * most);
          error.add(p * values.error[element]);
        }
        out.value[out.at(token, head * head_dim + i)] = value;
        out.error[out.at(token, head * head_dim + i)] = error.total();
      }
    }
  }
  return out;
}

Bounded silu_mul(const Bounded& gate, const Bounded& up) {
  Bounded out(gate.rows, gate.columns);
  out.independent = gate.independent;
  for (std::size_t i = 0; i < out.value.size(); ++i) {
    const double g = gate.value[i];
    const double silu = g / (1 + std::exp(-g));
    constexpr double kSteepest = 1.1;  // of SiLU, at 2.4
    const double silu_error = kSteepest * gate.error[i] + 8 * kF32Unit * std::abs(silu);
    out.value[i] = silu * up.value[i];
    out.error[i] = added(out.independent, (std::abs(silu) + silu_error) * up.error[i],
                         std::abs(up.value[i]) * silu_error);
  }
  return out;
}

void expect_within(ConstTensor got, const Bounded& expected, const std::string& what,
                   double slack) {
  const std::vector<double> values = decode(got);
  ASSERT_EQ(values.size(), expected.value.size()) << what;
  Bounded bound = expected;
  if (bound.independent) {
    for (double& error : bound.error) error *= kDeviations;
    bound.independent = false;
  }
  bound = rounded(std::move(bound), got.spec.dtype);
  double magnitude = 0;
  double allowed = 0;
  int misses = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    magnitude += std::abs(bound.value[i]);
    allowed += bound.error[i];
    const double error = std::abs(values[i] - bound.value[i]);
    if (error <= bound.error[i]) continue;
    if (++misses <= 3) {
      ADD_FAILURE() << what << ": element " << i << " is " << values[i] << ", expected "
                    << bound.value[i] << " within " << bound.error[i];
    }
  }
  EXPECT_EQ(misses, 0) << what << ": of " << values.size();
  EXPECT_LE(allowed, slack * magnitude) << what << ": the bounds prove little";
}

}  // namespace airlock::testing
