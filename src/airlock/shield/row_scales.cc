#include <algorithm>
#include <cmath>
#include <limits>

#include "airlock/core/error.h"
#include "airlock/math/field.h"
#include "airlock/shield/tile_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/shield/row_scales.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "airlock/math/simd_cap.h"

#ifndef AIRLOCK_SHIELD_ROW_EXTENT
#define AIRLOCK_SHIELD_ROW_EXTENT
namespace airlock {
struct RowExtent {
  double squares = 0;  ///< sum of them; not finite if an element is not
  float largest = 0;   ///< in magnitude
};
}  // namespace airlock
#endif

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Partial sums of squares, element j in sum j % 16 on every processor, so that all find the same
/// bits: squares of f32 are exact in f64, fused or not.
constexpr std::int64_t kPartialSums = 16;

RowExtent row_extent(const float* x, std::int64_t count) {
  const hn::CappedTag<double, kPartialSums> d;
  const hn::Rebind<float, decltype(d)> df;
  constexpr std::int64_t kLanes = hn::MaxLanes(d);
  constexpr std::int64_t kVectors = kPartialSums / kLanes;
  hn::Vec<decltype(d)> sums[kVectors];
  hn::Vec<decltype(df)> largest[kVectors];
  for (std::int64_t v = 0; v < kVectors; ++v) {
    sums[v] = hn::Zero(d);
    largest[v] = hn::Zero(df);
  }
  std::int64_t i = 0;
  for (; i + kPartialSums <= count; i += kPartialSums) {
#pragma GCC unroll 16
    for (std::int64_t v = 0; v < kVectors; ++v) {
      const auto narrow = hn::LoadU(df, x + i + v * kLanes);
      largest[v] = hn::Max(largest[v], hn::Abs(narrow));
      const auto wide = hn::PromoteTo(d, narrow);
      sums[v] = hn::Add(sums[v], hn::Mul(wide, wide));
    }
  }
  double partial[kPartialSums];
  float maxima[kPartialSums];
  for (std::int64_t v = 0; v < kVectors; ++v) {
    hn::StoreU(sums[v], d, partial + v * kLanes);
    hn::StoreU(largest[v], df, maxima + v * kLanes);
  }
  for (std::int64_t j = 0; i + j < count; ++j) {
    partial[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
    maxima[j] = std::max(maxima[j], std::fabs(x[i + j]));
  }
  RowExtent extent;
  for (std::int64_t j = 0; j < kPartialSums; ++j) {
    extent.squares += partial[j];
    extent.largest = std::max(extent.largest, maxima[j]);
  }
  return extent;
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(row_extent);

namespace {

/// The largest f32 that is not above.
float round_down(double value) {
  const auto nearest = static_cast<float>(value);
  return static_cast<double>(nearest) > value ? std::nextafter(nearest, 0.0F) : nearest;
}

/// Above this, 1 / scale would be subnormal, and soon the scale not finite.
constexpr double kMaxScale = 0x1p126;
/// Times the root of the columns, the norm that integers of a row must be allowed: root mean square
/// of that much. Less carries no signal, and with it scales are normal for every finite row.
constexpr double kLeastMeanSquare = 4;
/// Of f32's rounding of x * scale and of the norm's own sum, both relative, generously.
constexpr double kSlack = 1 - 0x1p-21;

}  // namespace

std::int64_t row_scales(const float* x, std::int64_t rows, std::int64_t columns, double max_norm,
                        double noise_norm, double margin, bool int16, std::span<RowScale> scales) {
  require(rows >= 0 && columns >= 0 && std::ssize(scales) >= rows, ErrorCode::kInternal,
          "scales of {} rows of {} for {}", rows, columns, scales.size());
  const double root = std::sqrt(static_cast<double>(columns));
  // Of x_q: weights of a norm below 1 are zeros, whose x_q must be in the field nevertheless. Each
  // element's rounding adds at most a half.
  const double norm =
      (kFieldPrime / 2.0 - margin) / std::max(max_norm, 1.0) - noise_norm - root / 2;
  require(norm >= kLeastMeanSquare * root, ErrorCode::kUnsupported,
          "weights of norm {} over {} columns: with noise of norm {} and a margin of {} no room is "
          "left for activations below {} / 2",
          max_norm, columns, noise_norm, margin, kFieldPrime);
  for (std::int64_t r = 0; r < rows; ++r) {
    const RowExtent extent = HWY_DYNAMIC_DISPATCH(row_extent)(x + r * columns, columns);
    if (!std::isfinite(extent.squares)) return r;
    RowScale& scale = scales[static_cast<std::size_t>(r)];
    scale = {};
    if (extent.squares == 0) continue;
    double most = std::min(norm * kSlack / std::sqrt(extent.squares), kMaxScale);
    if (int16) {
      constexpr double kMostInt16 = std::numeric_limits<std::int16_t>::max();
      most = std::min(most, kMostInt16 / static_cast<double>(extent.largest));
    }
    scale.scale = round_down(most);
    scale.inverse = static_cast<float>(1 / static_cast<double>(scale.scale));
  }
  return -1;
}

}  // namespace airlock
#endif
