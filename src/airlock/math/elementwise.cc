#include "airlock/math/elementwise.h"

#include "airlock/core/threads.h"
#include "airlock/math/grain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/elementwise.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

template <typename T>
void add_range(float* x, const T* y, std::int64_t count) {
  for_each_vector(
      count, [&](const auto& load, const auto& store) { store(hn::Add(load(x), load(y)), x); });
}

void add_f32(float* x, const float* y, std::int64_t count) {
  add_range(x, y, count);
}
void add_bf16(float* x, const BF16* y, std::int64_t count) {
  add_range(x, y, count);
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(add_f32);
HWY_EXPORT(add_bf16);

void add(float* x, const float* y, std::int64_t count) {
  parallel_for(count, kGrainElements, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(add_f32)(x + begin, y + begin, end - begin);
  });
}

void add(float* x, const BF16* y, std::int64_t count) {
  parallel_for(count, kGrainElements, [=](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(add_bf16)(x + begin, y + begin, end - begin);
  });
}

}  // namespace airlock
#endif
