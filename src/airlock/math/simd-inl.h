// Building blocks that every vectorised kernel includes, once per Highway target: loads and stores
// of any float type as f32, and exponentials. Internal to math/.
#if defined(AIRLOCK_MATH_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AIRLOCK_MATH_SIMD_INL_H_
#undef AIRLOCK_MATH_SIMD_INL_H_
#else
#define AIRLOCK_MATH_SIMD_INL_H_
#endif

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <hwy/highway.h>

#include "airlock/core/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;

/// Widens `Lanes(df)` elements at `from` (f32, bf16, f16 or int8), exactly.
template <class D>
HWY_INLINE hn::Vec<D> load_f32(D df, const float* from) {
  return hn::LoadU(df, from);
}

template <class D>
HWY_INLINE hn::Vec<D> load_f32(D df, const BF16* from) {
  const hn::Rebind<std::uint16_t, D> d16;
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
}

template <class D>
HWY_INLINE hn::Vec<D> load_f32(D df, const F16* from) {
  const hn::Rebind<std::uint16_t, D> d16;
  const hn::RebindToUnsigned<D> du;
  const auto half = hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(from)));
  const auto sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(du, 0x8000U)));
  const auto magnitude = hn::And(half, hn::Set(du, 0x7fffU));
  // As a float of exponent bias 127 the shifted bits are 2^112 too small; the product is exact,
  // subnormals included.
  const auto shifted = hn::BitCast(df, hn::ShiftLeft<13>(magnitude));
  const auto finite = hn::BitCast(du, hn::Mul(shifted, hn::Set(df, 0x1p112F)));
  const auto special = hn::Or(hn::ShiftLeft<13>(magnitude), hn::Set(du, 0x7f800000U));
  const auto is_special = hn::Gt(magnitude, hn::Set(du, 0x7bffU));
  return hn::BitCast(df, hn::Or(hn::IfThenElse(is_special, special, finite), sign));
}

template <class D>
HWY_INLINE hn::Vec<D> load_f32(D df, const std::int8_t* from) {
  const hn::Rebind<std::int8_t, D> d8;
  const hn::RebindToSigned<D> di;
  return hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(d8, from)));
}

template <class D>
HWY_INLINE void store_f32(D df, hn::Vec<D> value, float* to) {
  hn::StoreU(value, df, to);
}

/// Stores the low 16 bits of each lane, whose high 16 bits must be zero.
template <class D>
HWY_INLINE void store_low16(D /*df*/, hn::Vec<hn::RebindToUnsigned<D>> bits, void* to) {
  const hn::Rebind<std::uint16_t, D> d16;
  const hn::RebindToSigned<D> di;
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, bits)), d16, static_cast<std::uint16_t*>(to));
}

/// Rounds to nearest, ties to even, bit for bit as BF16::from_float.
template <class D>
HWY_INLINE void store_f32(D df, hn::Vec<D> value, BF16* to) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, value);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(du, 1U));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7fffU)), odd));
  const auto nan = hn::Gt(hn::And(bits, hn::Set(du, 0x7fffffffU)), hn::Set(du, 0x7f800000U));
  store_low16(df, hn::IfThenElse(nan, hn::Or(upper, hn::Set(du, 0x40U)), rounded), to);
}

/// Rounds to nearest, ties to even, bit for bit as F16::from_float.
template <class D>
HWY_INLINE void store_f32(D df, hn::Vec<D> value, F16* to) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, value);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000U));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7fffffffU));
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1U));
  const auto normal = hn::ShiftRight<13>(
      hn::Sub(hn::Add(hn::Add(magnitude, hn::Set(du, 0xfffU)), odd), hn::Set(du, 0x38000000U)));
  // Adding 0.5 aligns the mantissa so that the hardware rounds a subnormal half.
  const auto aligned = hn::Add(hn::BitCast(df, magnitude), hn::Set(df, 0.5F));
  const auto subnormal = hn::Sub(hn::BitCast(du, aligned), hn::Set(du, 0x3f000000U));
  auto half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x38800000U)), subnormal, normal);
  half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x477fefffU)), hn::Set(du, 0x7c00U), half);
  half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7f800000U)), hn::Set(du, 0x7e00U), half);
  store_low16(df, hn::Or(half, sign), to);
}

/// Rounds to nearest, ties to even; values must lie within [-128, 127].
template <class D>
HWY_INLINE void store_f32(D df, hn::Vec<D> value, std::int8_t* to) {
  (void)df;
  const hn::Rebind<std::int8_t, D> d8;
  hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(value)), d8, to);
}

/// Runs body(i, loader, storer) over [0, count) in vectors: `load(pointer)` and
/// `store(value, pointer)` act at element i, the last vector through a copy so that nothing
/// outside the arrays is touched.
template <class Body>
HWY_INLINE void for_each_vector(std::int64_t count, const Body& body) {
  const F32 df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  std::int64_t i = 0;
  const auto load = [&](const auto* from) { return load_f32(df, from + i); };
  const auto store = [&](auto value, auto* to) { store_f32(df, value, to + i); };
  for (; i + lanes <= count; i += lanes) body(load, store);
  if (i >= count) return;
  const auto rest = static_cast<std::size_t>(count - i);
  const auto load_rest = [&](const auto* from) {
    std::remove_cvref_t<decltype(*from)> copy[HWY_MAX_BYTES / sizeof(float)] = {};
    std::memcpy(copy, from + i, rest * sizeof(copy[0]));
    return load_f32(df, copy);
  };
  const auto store_rest = [&](auto value, auto* to) {
    std::remove_cvref_t<decltype(*to)> copy[HWY_MAX_BYTES / sizeof(float)];
    store_f32(df, value, copy);
    std::memcpy(to + i, copy, rest * sizeof(copy[0]));
  };
  body(load_rest, store_rest);
}

/// Added to a number below 2^22 in magnitude, leaves its nearest integer in the low mantissa bits,
/// and in the bits' low 9 nothing else.
constexpr float kRounder = 0x1.8p23F;

/// e^x within 2 ulp for x >= -87.3365 (2^-126), 0 below it, infinity above 88.7228; NaN stays.
/// Cody and Waite's reduction, polynomial of Cephes' expf.
template <class D>
HWY_INLINE hn::Vec<D> simd_exp(D df, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto shifted = hn::MulAdd(x, hn::Set(df, 1.44269504F), hn::Set(df, kRounder));
  const auto n = hn::Sub(shifted, hn::Set(df, kRounder));
  auto r = hn::NegMulAdd(n, hn::Set(df, 0.693359375F), x);
  r = hn::NegMulAdd(n, hn::Set(df, -2.12194440e-4F), r);
  auto p = hn::Set(df, 1.9875691500e-4F);
  p = hn::MulAdd(p, r, hn::Set(df, 1.3981999507e-3F));
  p = hn::MulAdd(p, r, hn::Set(df, 8.3334519073e-3F));
  p = hn::MulAdd(p, r, hn::Set(df, 4.1665795894e-2F));
  p = hn::MulAdd(p, r, hn::Set(df, 1.6666665459e-1F));
  p = hn::MulAdd(p, r, hn::Set(df, 5.0000001201e-1F));
  p = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), hn::Set(df, 1.0F));
  const auto power = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  auto result = hn::BitCast(df, hn::Add(hn::BitCast(di, p), power));
  result = hn::IfThenZeroElse(hn::Lt(x, hn::Set(df, -87.3365F)), result);
  // Past the range, and for NaN: x + infinity.
  const auto infinity = hn::BitCast(df, hn::Set(di, 0x7f800000));
  return hn::IfThenElse(hn::Le(x, hn::Set(df, 88.7228F)), result, hn::Add(x, infinity));
}

/// 2^x for x <= 0 within 2 ulp down to 2^-126, 0 below it; NaN stays. Polynomial of Cephes' exp2f.
template <class D>
HWY_INLINE hn::Vec<D> simd_exp2_nonpositive(D df, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto shifted = hn::Add(x, hn::Set(df, kRounder));
  const auto n = hn::Sub(shifted, hn::Set(df, kRounder));
  const auto f = hn::Sub(x, n);
  auto p = hn::Set(df, 1.535336188319500e-4F);
  p = hn::MulAdd(p, f, hn::Set(df, 1.339887440266574e-3F));
  p = hn::MulAdd(p, f, hn::Set(df, 9.618437357674640e-3F));
  p = hn::MulAdd(p, f, hn::Set(df, 5.550332471162809e-2F));
  p = hn::MulAdd(p, f, hn::Set(df, 2.402264791363012e-1F));
  p = hn::MulAdd(p, f, hn::Set(df, 6.931472028550421e-1F));
  p = hn::MulAdd(p, f, hn::Set(df, 1.0F));
  const auto one = hn::Set(di, 0x3f800000);
  const auto power = hn::BitCast(df, hn::Add(hn::ShiftLeft<23>(hn::BitCast(di, shifted)), one));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(df, -126.0F)), hn::Mul(p, power));
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
