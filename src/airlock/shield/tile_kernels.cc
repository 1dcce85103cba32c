#include "airlock/shield/tile_kernels.h"

#include <algorithm>
#include <atomic>
#include <type_traits>

#include "airlock/core/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/shield/tile_kernels.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/shield/field_simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

using TileU32 = hn::ScalableTag<std::uint32_t>;
using TileI32 = hn::RebindToSigned<TileU32>;
using TileF32 = hn::Rebind<float, TileU32>;
using TileI8 = hn::Rebind<std::int8_t, TileU32>;
using TileU16 = hn::Rebind<std::uint16_t, TileU32>;
using TileI16 = hn::Rebind<std::int16_t, TileU32>;
constexpr std::int64_t kTileLanes = hn::MaxLanes(TileU32());
/// Columns that are taken together, one after the other in kSumVectors vectors.
constexpr std::int64_t kTileGroup = kSumVectors * kTileLanes;

/// The integers of a group, for its checks.
struct TileGroup {
  hn::Vec<TileI32> values[kSumVectors];
  hn::Vec<TileI32> odd[kSumVectors];

  HWY_INLINE void set(int v, hn::Vec<TileI32> value) {
    values[v] = value;
    odd[v] = odd_lanes(TileI32(), value);
  }
};

/// Sums of a row, one a check.
template <int kMost>
class TileSums {
 public:
  explicit TileSums(int checks) : checks_(checks) {
    for (int c = 0; c < checks; ++c) sums_[c].clear();
  }
  HWY_INLINE void add(const TileGroup& group, const std::uint32_t* const* keys,
                      std::int64_t column) {
    for (int c = 0; c < checks_; ++c) sums_[c].add(group.values, group.odd, keys[c] + column);
  }
  HWY_INLINE void finish(std::uint32_t* const* sums, std::int64_t row, std::uint32_t modulus) {
    for (int c = 0; c < checks_; ++c) {
      const std::uint64_t sum = std::uint64_t{sums[c][row]} + sums_[c].modulo(modulus);
      sums[c][row] =
          static_cast<std::uint32_t>(modulus == kFieldPrime ? sum % kFieldPrime : sum % modulus);
    }
  }

 private:
  int checks_;
  SplitSum<TileI32> sums_[kMost];
};

/// Fetches a group of a row to come: rows of a tile lie far apart, where no hardware looks ahead. A
/// few rows on, for a miss in the tables of pages too.
constexpr std::int64_t kRowsAhead = 6;
template <typename T>
HWY_INLINE void fetch_group(const T* from) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  for (std::int64_t at = 0; at < kTileGroup; at += kLine) hwy::Prefetch(from + at);
}

/// A piece of one input row.
struct MaskPiece {
  const float* x;
  const std::int8_t* noise;  ///< or null
  const std::uint32_t* pad;  ///< or null
  void* out;                 ///< i16 or u32
};

template <bool kPad, bool kNarrow>
HWY_INLINE void mask_group(const MaskPiece& piece, hn::Vec<TileF32> scale, TileGroup& group) {
  const TileF32 df;
  const TileI32 di;
  const TileU32 du;
#pragma GCC unroll 4
  for (int v = 0; v < kSumVectors; ++v) {
    const std::int64_t at = v * kTileLanes;
    auto value = hn::NearestInt(hn::Mul(hn::LoadU(df, piece.x + at), scale));
    if (piece.noise != nullptr) {
      value = hn::Add(value, hn::PromoteTo(di, hn::LoadU(TileI8(), piece.noise + at)));
    }
    group.set(v, value);
    if constexpr (kNarrow) {
      const TileI16 d16;
      hn::StoreU(hn::DemoteTo(d16, value), d16, static_cast<std::int16_t*>(piece.out) + at);
    } else {
      auto element = reduce_negative(du, hn::BitCast(du, value));
      if constexpr (kPad) {
        element = reduce_once(du, hn::Add(element, hn::LoadU(du, piece.pad + at)));
      }
      hn::StoreU(element, du, static_cast<std::uint32_t*>(piece.out) + at);
    }
  }
}

/// The columns past the last whole group, copied so that nothing outside the arrays is touched, and
/// zeros after them.
template <bool kPad, bool kNarrow>
HWY_NOINLINE void mask_rest(const MaskPiece& piece, std::int64_t count, hn::Vec<TileF32> scale,
                            TileGroup& group) {
  using Out = std::conditional_t<kNarrow, std::int16_t, std::uint32_t>;
  float x[kTileGroup] = {};
  std::int8_t noise[kTileGroup] = {};
  std::uint32_t pad[kTileGroup] = {};
  Out out[kTileGroup];
  std::copy(piece.x, piece.x + count, x);
  if (piece.noise != nullptr) std::copy(piece.noise, piece.noise + count, noise);
  if constexpr (kPad) std::copy(piece.pad, piece.pad + count, pad);
  mask_group<kPad, kNarrow>({x, noise, pad, out}, scale, group);
  std::copy(out, out + count, static_cast<Out*>(piece.out));
}

/// Keys of the columns past the last whole group, and zeros.
template <int kMost>
struct RestKeys {
  std::uint32_t values[kMost][kTileGroup] = {};
  const std::uint32_t* at[kMost] = {};

  RestKeys(const std::uint32_t* const* keys, int checks, std::int64_t column, std::int64_t count) {
    for (int c = 0; c < checks; ++c) {
      std::copy(keys[c] + column, keys[c] + column + count, values[c]);
      at[c] = values[c];
    }
  }
};

template <bool kPad, bool kNarrow>
void mask_rows(const MaskTile& tile) {
  using Out = std::conditional_t<kNarrow, std::int16_t, std::uint32_t>;
  constexpr int kMost = kMaxChecks * kMaxShared;
  const std::int64_t whole = tile.columns / kTileGroup * kTileGroup;
  const RestKeys<kMost> rest(tile.keys, tile.checks, whole, tile.columns - whole);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const auto scale = hn::Set(TileF32(), tile.scales[r].scale);
    const auto piece = [&](std::int64_t column) -> MaskPiece {
      return {tile.x + r * tile.x_stride + column,
              tile.noise == nullptr ? nullptr : tile.noise + r * tile.noise_stride + column,
              kPad ? tile.pad + r * tile.pad_stride + column : nullptr,
              static_cast<Out*>(tile.out) + r * tile.out_stride + column};
    };
    TileSums<kMost> sums(tile.checks);
    TileGroup group;
    for (std::int64_t i = 0; i < whole; i += kTileGroup) {
      const MaskPiece here = piece(i);
      if (r + kRowsAhead < tile.rows) {
        fetch_group(here.x + kRowsAhead * tile.x_stride);
        fetch_group(static_cast<Out*>(here.out) + kRowsAhead * tile.out_stride);
      }
      mask_group<kPad, kNarrow>(here, scale, group);
      sums.add(group, tile.keys, i);
    }
    if (whole < tile.columns) {
      mask_rest<kPad, kNarrow>(piece(whole), tile.columns - whole, scale, group);
      sums.add(group, rest.at, 0);
    }
    sums.finish(tile.sums, r, tile.check_modulus);
  }
}

void mask_tile_simd(const MaskTile& tile) {
  if (tile.pad != nullptr) {
    mask_rows<true, false>(tile);
  } else if (tile.out_dtype == DType::kRing) {
    mask_rows<false, false>(tile);
  } else {
    mask_rows<false, true>(tile);
  }
}

/// A piece of one output row.
struct UnmaskPiece {
  const void* y;             ///< u32 or u16
  const std::uint32_t* pad;  ///< or null
  const float* weight_scales;
  float* out;
};

/// What was loaded, such that no compiler loads it again: a peer may have changed it meanwhile.
template <class V>
HWY_INLINE V once(V loaded) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  asm("" : "+x"(loaded.raw));
#else
  std::atomic_signal_fence(std::memory_order_acq_rel);
#endif
  return loaded;
}

/// Elements as received, in 32 bits, any of them.
HWY_INLINE hn::Vec<TileU32> load_product(TileU32 du, const std::uint32_t* y) {
  return hn::LoadU(du, y);
}
HWY_INLINE hn::Vec<TileU32> load_product(TileU32 du, const std::uint16_t* y) {
  return hn::ShiftLeft<kRing16Shift>(hn::PromoteTo(du, hn::LoadU(TileU16(), y)));
}

template <bool kPad, bool kNarrow>
HWY_INLINE void unmask_group(const UnmaskPiece& piece, hn::Vec<TileF32> inverse, TileGroup& group) {
  using In = std::conditional_t<kNarrow, std::uint16_t, std::uint32_t>;
  const TileF32 df;
  const TileI32 di;
  const TileU32 du;
#pragma GCC unroll 4
  for (int v = 0; v < kSumVectors; ++v) {
    const std::int64_t at = v * kTileLanes;
    const auto received = once(load_product(du, static_cast<const In*>(piece.y) + at));
    auto element = kNarrow ? reduce_once(du, received) : reduce_any(du, received);
    if constexpr (kPad) {
      element = reduce_negative(du, hn::Sub(element, hn::LoadU(du, piece.pad + at)));
    }
    const auto positive = hn::BitCast(di, element);
    const auto above = hn::Gt(positive, hn::Set(di, static_cast<std::int32_t>(kFieldPrime / 2)));
    const auto value = hn::Sub(
        positive, hn::IfThenElseZero(above, hn::Set(di, static_cast<std::int32_t>(kFieldPrime))));
    group.set(v, value);
    const auto scaled = hn::Mul(hn::ConvertTo(df, value), hn::LoadU(df, piece.weight_scales + at));
    hn::StoreU(hn::Mul(scaled, inverse), df, piece.out + at);
  }
}

template <bool kPad, bool kNarrow>
HWY_NOINLINE void unmask_rest(const UnmaskPiece& piece, std::int64_t count,
                              hn::Vec<TileF32> inverse, TileGroup& group) {
  using In = std::conditional_t<kNarrow, std::uint16_t, std::uint32_t>;
  In y[kTileGroup] = {};
  std::uint32_t pad[kTileGroup] = {};
  float weight_scales[kTileGroup] = {};
  float out[kTileGroup];
  std::copy_n(static_cast<const In*>(piece.y), count, y);
  if constexpr (kPad) std::copy_n(piece.pad, count, pad);
  std::copy_n(piece.weight_scales, count, weight_scales);
  unmask_group<kPad, kNarrow>({y, pad, weight_scales, out}, inverse, group);
  std::copy(out, out + count, piece.out);
}

template <bool kPad, bool kNarrow>
void unmask_rows(const UnmaskTile& tile) {
  using In = std::conditional_t<kNarrow, std::uint16_t, std::uint32_t>;
  const std::int64_t whole = tile.columns / kTileGroup * kTileGroup;
  const RestKeys<kMaxChecks> rest(tile.keys, tile.checks, whole, tile.columns - whole);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const auto inverse = hn::Set(TileF32(), tile.scales[r].inverse);
    const auto piece = [&](std::int64_t column) -> UnmaskPiece {
      return {static_cast<const In*>(tile.y) + r * tile.y_stride + column,
              kPad ? tile.pad + r * tile.pad_stride + column : nullptr, tile.weight_scales + column,
              tile.out + r * tile.out_stride + column};
    };
    TileSums<kMaxChecks> sums(tile.checks);
    TileGroup group;
    for (std::int64_t i = 0; i < whole; i += kTileGroup) {
      const UnmaskPiece here = piece(i);
      if (r + kRowsAhead < tile.rows) {
        fetch_group(static_cast<const In*>(here.y) + kRowsAhead * tile.y_stride);
        fetch_group(here.out + kRowsAhead * tile.out_stride);
      }
      unmask_group<kPad, kNarrow>(here, inverse, group);
      sums.add(group, tile.keys, i);
    }
    if (whole < tile.columns) {
      unmask_rest<kPad, kNarrow>(piece(whole), tile.columns - whole, inverse, group);
      sums.add(group, rest.at, 0);
    }
    sums.finish(tile.sums, r, tile.check_modulus);
  }
}

void unmask_tile_simd(const UnmaskTile& tile) {
  const bool narrow = tile.y_dtype == DType::kRing16;
  if (tile.pad != nullptr) {
    narrow ? unmask_rows<true, true>(tile) : unmask_rows<true, false>(tile);
  } else {
    narrow ? unmask_rows<false, true>(tile) : unmask_rows<false, false>(tile);
  }
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(mask_tile_simd);
HWY_EXPORT(unmask_tile_simd);

void mask_tile(const MaskTile& tile) {
  require(tile.out_dtype == DType::kRing || (tile.out_dtype == DType::kI16 && tile.pad == nullptr),
          ErrorCode::kInternal, "masked rows of {}{}", dtype_name(tile.out_dtype),
          tile.pad == nullptr ? "" : " with a pad");
  require(tile.checks >= 0 && tile.checks <= kMaxChecks * kMaxShared, ErrorCode::kInternal,
          "{} checks of an input", tile.checks);
  HWY_DYNAMIC_DISPATCH(mask_tile_simd)(tile);
}

void unmask_tile(const UnmaskTile& tile) {
  require(tile.y_dtype == DType::kRing || tile.y_dtype == DType::kRing16, ErrorCode::kInternal,
          "products of {}, expected elements of the ring", dtype_name(tile.y_dtype));
  require(tile.checks >= 0 && tile.checks <= kMaxChecks, ErrorCode::kInternal,
          "{} checks of a product", tile.checks);
  HWY_DYNAMIC_DISPATCH(unmask_tile_simd)(tile);
}

}  // namespace airlock
#endif
