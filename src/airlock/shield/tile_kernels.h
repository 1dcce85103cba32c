// What happens to each element between the executor's f32 and the wire: one pass over memory each
// way, with the pad, the noise and the sums of the check. Constant time in values. All thread-safe;
// none allocates.
#pragma once

#include <cstdint>
#include <span>

#include "airlock/core/dtype.h"
#include "airlock/math/field.h"

namespace airlock {

/// Checks a product may carry: two for a soundness of 62 bits.
inline constexpr int kMaxChecks = 2;
/// Matrices that share a call's input rows.
inline constexpr int kMaxShared = 3;

/// How a row becomes integers: x_q = rint(x * scale).
struct RowScale {
  float scale = 0;    ///< 0 for a row of zeros
  float inverse = 0;  ///< 1 / scale, or 0
};

/// Scales of rows x [rows, columns] f32 such that (|x_q| + noise_norm) * max_norm + margin < p / 2,
/// |.| being the 2-norm and rounding included, so that by Cauchy-Schwarz no product wraps; with
/// `int16` also |x_q[j]| <= 32767. A row of tiny values has a finite scale. Returns the first row
/// with a value that is not finite, or -1. Throws Error(kUnsupported) if max_norm leaves no room.
std::int64_t row_scales(const float* x, std::int64_t rows, std::int64_t columns, double max_norm,
                        double noise_norm, double margin, bool int16, std::span<RowScale> scales);

/// Part of a call's input: rows x columns [column, column + columns). Pointers are to the part's
/// first element, strides in elements.
struct MaskTile {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  const RowScale* scales = nullptr;    ///< [rows]
  const std::int8_t* noise = nullptr;  ///< [rows, columns] in -8..7, or null: none
  std::int64_t noise_stride = 0;
  const std::uint32_t* pad = nullptr;  ///< [rows, columns] below p, or null: no mask
  std::int64_t pad_stride = 0;
  void* out = nullptr;  ///< kRing with a pad, kRing or kI16 without
  std::int64_t out_stride = 0;
  DType out_dtype = DType::kRing;
  int checks = 0;  ///< of `keys` and `sums`
  /// W·v of each check, [columns] u32 below p.
  const std::uint32_t* keys[kMaxChecks * kMaxShared] = {};
  /// [rows] u32 below p each: (x_q + e)·(W·v) of these columns is added, modulo p.
  std::uint32_t* sums[kMaxChecks * kMaxShared] = {};
  /// What keys and sums are below, if not p: a small one, in tests, misses one error in as many.
  std::uint32_t check_modulus = kFieldPrime;
};
/// out = x_q + e + pad mod p; without a pad x_q + e itself.
void mask_tile(const MaskTile& tile);

/// Part of a call's output.
struct UnmaskTile {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// As received: kRing or kRing16. Read once: memory that a peer may change meanwhile is safe. Any
  /// 32 bits count modulo p.
  const void* y = nullptr;
  std::int64_t y_stride = 0;
  DType y_dtype = DType::kRing;
  const std::uint32_t* pad = nullptr;  ///< the pad's product, or null
  std::int64_t pad_stride = 0;
  const RowScale* scales = nullptr;      ///< [rows]
  const float* weight_scales = nullptr;  ///< [columns]
  float* out = nullptr;
  std::int64_t out_stride = 0;
  int checks = 0;
  const std::uint32_t* keys[kMaxChecks] = {};  ///< v, [columns]
  std::uint32_t* sums[kMaxChecks] = {};        ///< [rows]: (y - pad)·v is added, modulo p
  std::uint32_t check_modulus = kFieldPrime;   ///< as MaskTile's; y - pad counts centred
};
/// out = (y - pad mod p, centred) * weight_scale * inverse scale.
void unmask_tile(const UnmaskTile& tile);

/// Sum of a[i] * b[i] mod p, both below p.
[[nodiscard]] std::uint32_t field_dot(const std::uint32_t* a, const std::uint32_t* b,
                                      std::int64_t count);
/// sums[i] += weight[i] * factor mod p for int8 `weight` [count], factor below p: W·v row by row.
void field_axpy(const std::int8_t* weight, std::uint32_t factor, std::int64_t count,
                std::uint32_t* sums);

}  // namespace airlock
