#include <algorithm>

#include "airlock/math/field.h"
#include "airlock/shield/tile_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/shield/field_sums.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/shield/field_simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

using FieldTag = hn::ScalableTag<std::uint32_t>;

std::uint32_t field_dot_simd(const std::uint32_t* a, const std::uint32_t* b, std::int64_t count) {
  const FieldTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr std::int64_t kGroup = kSumVectors * hn::MaxLanes(d);
  SplitSum<FieldTag> sum;
  sum.clear();
  const auto add = [&](const std::uint32_t* from, const std::uint32_t* factors) {
    hn::Vec<FieldTag> values[kSumVectors];
    hn::Vec<FieldTag> odd[kSumVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kSumVectors; ++v) {
      values[v] = hn::LoadU(d, from + v * lanes);
      odd[v] = odd_lanes(d, values[v]);
    }
    sum.add(values, odd, factors);
  };
  std::int64_t i = 0;
  for (; i + kGroup <= count; i += kGroup) add(a + i, b + i);
  if (i < count) {
    std::uint32_t rest_a[kGroup] = {};
    std::uint32_t rest_b[kGroup] = {};
    std::copy(a + i, a + count, rest_a);
    std::copy(b + i, b + count, rest_b);
    add(rest_a, rest_b);
  }
  return sum.modulo(kFieldPrime);
}

void field_axpy_simd(const std::int8_t* weight, std::uint32_t factor, std::int64_t count,
                     std::uint32_t* sums) {
  const FieldTag d;
  const hn::RebindToSigned<FieldTag> di;
  const hn::Rebind<std::int8_t, FieldTag> d8;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto factors = hn::Set(d, factor);
  const auto quotients =
      hn::Set(d, static_cast<std::uint32_t>((std::uint64_t{factor} << 32) / kFieldPrime));
  const auto prime = hn::Set(d, detail::kPrimeVariable);
  const auto add = [&](const std::int8_t* from, std::uint32_t* to) {
    const auto signed_weight = hn::PromoteTo(di, hn::LoadU(d8, from));
    const auto value = reduce_negative(d, hn::BitCast(d, signed_weight));
    const auto product = reduce_once(d, mul_shoup(d, value, factors, quotients, prime));
    hn::StoreU(reduce_once(d, hn::Add(hn::LoadU(d, to), product)), d, to);
  };
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) add(weight + i, sums + i);
  if (i < count) {
    std::int8_t rest[hn::MaxLanes(d)] = {};
    std::uint32_t rest_sums[hn::MaxLanes(d)] = {};
    std::copy(weight + i, weight + count, rest);
    std::copy(sums + i, sums + count, rest_sums);
    add(rest, rest_sums);
    std::copy(rest_sums, rest_sums + (count - i), sums + i);
  }
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(field_dot_simd);
HWY_EXPORT(field_axpy_simd);

std::uint32_t field_dot(const std::uint32_t* a, const std::uint32_t* b, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(field_dot_simd)(a, b, count);
}

void field_axpy(const std::int8_t* weight, std::uint32_t factor, std::int64_t count,
                std::uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(field_axpy_simd)(weight, factor, count, sums);
}

}  // namespace airlock
#endif
