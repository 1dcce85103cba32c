#include "airlock/math/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/grain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/rope.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

/// Rotates `heads` rows of 2 * half elements that lie side by side in x, to rows `stride` apart.
template <typename To>
void rotate(const float* x, const float* cosine, const float* sine, std::int64_t heads,
            std::int64_t half, To* out, std::int64_t stride) {
  for (std::int64_t h = 0; h < heads; ++h, x += 2 * half, out += stride) {
    for_each_vector(half, [&](const auto& load, const auto& store) {
      const auto low = load(x);
      const auto high = load(x + half);
      const auto c = load(cosine);
      const auto s = load(sine);
      store(hn::NegMulAdd(high, s, hn::Mul(low, c)), out);
      store(hn::MulAdd(low, s, hn::Mul(high, c)), out + half);
    });
  }
}

void rotate_f32(const float* x, const float* cosine, const float* sine, std::int64_t heads,
                std::int64_t half, float* out, std::int64_t stride) {
  rotate(x, cosine, sine, heads, half, out, stride);
}
void rotate_bf16(const float* x, const float* cosine, const float* sine, std::int64_t heads,
                 std::int64_t half, BF16* out, std::int64_t stride) {
  rotate(x, cosine, sine, heads, half, out, stride);
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(rotate_f32);
HWY_EXPORT(rotate_bf16);

/// Position p's cosines are cosine[p * half, (p + 1) * half), its sines likewise.
struct RopeTable::Rows {
  std::int64_t positions = 0;
  std::vector<float> cosine;
  std::vector<float> sine;
};

std::vector<double> rope_inverse_frequencies(std::int64_t head_dim, double theta,
                                             const std::optional<Llama3RopeScaling>& scaling) {
  require(head_dim > 0 && head_dim % 2 == 0, ErrorCode::kInvalidArgument,
          "RoPE: head_dim is {}, expected positive and even", head_dim);
  require(std::isfinite(theta) && theta > 0, ErrorCode::kInvalidArgument,
          "RoPE: rope_theta is {}, expected positive and finite", theta);
  std::vector<double> frequencies(static_cast<std::size_t>(head_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  }
  if (!scaling) return frequencies;

  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  require(positive(scaling->factor) && positive(scaling->low_freq_factor) &&
              positive(scaling->high_freq_factor) && scaling->original_max_position > 0 &&
              scaling->high_freq_factor > scaling->low_freq_factor,
          ErrorCode::kInvalidArgument,
          "RoPE: llama3 scaling has factor {}, low_freq_factor {}, high_freq_factor {}, "
          "original_max_position_embeddings {}; expected all positive and low below high",
          scaling->factor, scaling->low_freq_factor, scaling->high_freq_factor,
          scaling->original_max_position);
  const auto original = static_cast<double>(scaling->original_max_position);
  const double low_wavelength = original / scaling->low_freq_factor;
  const double high_wavelength = original / scaling->high_freq_factor;
  for (double& frequency : frequencies) {
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength < high_wavelength) continue;
    if (wavelength > low_wavelength) {
      frequency /= scaling->factor;
      continue;
    }
    const double smooth = (original / wavelength - scaling->low_freq_factor) /
                          (scaling->high_freq_factor - scaling->low_freq_factor);
    frequency = (1 - smooth) * frequency / scaling->factor + smooth * frequency;
  }
  return frequencies;
}

RopeTable::RopeTable(std::int64_t head_dim, double theta,
                     const std::optional<Llama3RopeScaling>& scaling)
    : head_dim_(head_dim), frequencies_(rope_inverse_frequencies(head_dim, theta, scaling)) {}

std::shared_ptr<const RopeTable::Rows> RopeTable::rows(std::int64_t positions) const {
  const std::scoped_lock lock(mutex_);
  const std::int64_t known = rows_ ? rows_->positions : 0;
  if (positions <= known) return rows_;
  constexpr std::int64_t kFirst = 256;
  auto grown = std::make_shared<Rows>();
  grown->positions = std::max({positions, 2 * known, kFirst});
  const std::size_t half = frequencies_.size();
  const auto size = static_cast<std::size_t>(grown->positions) * half;
  grown->cosine.resize(size);
  grown->sine.resize(size);
  if (rows_) {
    std::ranges::copy(rows_->cosine, grown->cosine.begin());
    std::ranges::copy(rows_->sine, grown->sine.begin());
  }
  parallel_for(grown->positions - known, grain_rows(static_cast<std::int64_t>(half) * 32),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t p = known + begin; p < known + end; ++p) {
                   for (std::size_t i = 0; i < half; ++i) {
                     const double angle = static_cast<double>(p) * frequencies_[i];
                     const std::size_t at = static_cast<std::size_t>(p) * half + i;
                     grown->cosine[at] = static_cast<float>(std::cos(angle));
                     grown->sine[at] = static_cast<float>(std::sin(angle));
                   }
                 }
               });
  rows_ = std::move(grown);
  return rows_;
}

namespace {
/// Far above any model's context, so that sizes computed from it cannot overflow.
constexpr std::int64_t kMaxPosition = std::int64_t{1} << 31;

void check(std::int64_t tokens, std::int64_t heads, std::int64_t position) {
  require(tokens >= 0 && heads >= 0 && position >= 0 && position <= kMaxPosition &&
              tokens <= kMaxPosition,
          ErrorCode::kInvalidArgument,
          "RoPE of {} tokens and {} heads at position {}: expected none negative and no position "
          "above {}",
          tokens, heads, position, kMaxPosition);
}

void rotate(const float* x, const float* c, const float* s, std::int64_t heads, std::int64_t half,
            float* out, std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(rotate_f32)(x, c, s, heads, half, out, stride);
}
void rotate(const float* x, const float* c, const float* s, std::int64_t heads, std::int64_t half,
            BF16* out, std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(rotate_bf16)(x, c, s, heads, half, out, stride);
}

/// Row t's heads go to out + t * token_stride, `head_stride` apart.
template <typename Rows, typename To>
void rotate_rows(const Rows& table, const float* x, std::int64_t tokens, std::int64_t heads,
                 std::int64_t half, std::int64_t position, To* out, std::int64_t token_stride,
                 std::int64_t head_stride) {
  parallel_for(tokens, grain_rows(heads * half * 2), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t row = (position + t) * half;
      rotate(x + t * heads * half * 2, table.cosine.data() + row, table.sine.data() + row, heads,
             half, out + t * token_stride, head_stride);
    }
  });
}
}  // namespace

void RopeTable::reserve(std::int64_t positions) const {
  check(0, 0, positions);
  static_cast<void>(rows(positions));
}

void RopeTable::apply(float* x, std::int64_t tokens, std::int64_t heads,
                      std::int64_t position) const {
  check(tokens, heads, position);
  if (tokens == 0) return;
  rotate_rows(*rows(position + tokens), x, tokens, heads, head_dim_ / 2, position, x,
              heads * head_dim_, head_dim_);
}

void RopeTable::apply_to_heads(const float* x, std::int64_t tokens, std::int64_t heads,
                               std::int64_t position, float* out, std::int64_t head_stride,
                               std::int64_t first_row) const {
  check(tokens, heads, position);
  if (tokens == 0) return;
  rotate_rows(*rows(position + tokens), x, tokens, heads, head_dim_ / 2, position,
              out + first_row * head_dim_, head_dim_, head_stride);
}

void RopeTable::apply_to_heads(const float* x, std::int64_t tokens, std::int64_t heads,
                               std::int64_t position, BF16* out, std::int64_t head_stride,
                               std::int64_t first_row) const {
  check(tokens, heads, position);
  if (tokens == 0) return;
  rotate_rows(*rows(position + tokens), x, tokens, heads, head_dim_ / 2, position,
              out + first_row * head_dim_, head_dim_, head_stride);
}

}  // namespace airlock
#endif
