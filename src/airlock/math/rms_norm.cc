#include "airlock/math/rms_norm.h"

#include <cmath>

#include "airlock/core/threads.h"
#include "airlock/math/grain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/rms_norm.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

double sum_of_squares(const float* x, std::int64_t count) {
  const hn::ScalableTag<double> dd;
  const hn::Rebind<float, decltype(dd)> df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(dd));
  auto sum0 = hn::Zero(dd);
  auto sum1 = hn::Zero(dd);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto x0 = hn::PromoteTo(dd, hn::LoadU(df, x + i));
    const auto x1 = hn::PromoteTo(dd, hn::LoadU(df, x + i + lanes));
    sum0 = hn::MulAdd(x0, x0, sum0);
    sum1 = hn::MulAdd(x1, x1, sum1);
  }
  double sum = hn::GetLane(hn::SumOfLanes(dd, hn::Add(sum0, sum1)));
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

void rms_norm_row(const float* x, const float* weight, float eps, std::int64_t hidden, float* out) {
  const F32 df;
  const double mean = sum_of_squares(x, hidden) / static_cast<double>(hidden);
  const auto factor =
      hn::Set(df, static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps))));
  for_each_vector(hidden, [&](const auto& load, const auto& store) {
    store(hn::Mul(load(weight), hn::Mul(load(x), factor)), out);
  });
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(rms_norm_row);

void rms_norm(const float* x, const float* weight, float eps, std::int64_t tokens,
              std::int64_t hidden, float* out) {
  parallel_for(tokens, grain_rows(hidden), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      HWY_DYNAMIC_DISPATCH(rms_norm_row)(x + t * hidden, weight, eps, hidden, out + t * hidden);
    }
  });
}

}  // namespace airlock
#endif
