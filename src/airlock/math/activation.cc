#include "airlock/math/activation.h"

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/grain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/activation.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

template <typename T>
void silu_mul_range(const T* gate, const T* up, std::int64_t count, T* out) {
  const F32 df;
  const auto one = hn::Set(df, 1.0F);
  for_each_vector(count, [&](const auto& load, const auto& store) {
    const auto g = load(gate);
    const auto silu = hn::Div(g, hn::Add(one, simd_exp(df, hn::Neg(g))));
    store(hn::Mul(silu, load(up)), out);
  });
}

void silu_mul_f32(const float* gate, const float* up, std::int64_t count, float* out) {
  silu_mul_range(gate, up, count, out);
}
void silu_mul_bf16(const BF16* gate, const BF16* up, std::int64_t count, BF16* out) {
  silu_mul_range(gate, up, count, out);
}
void silu_mul_f16(const F16* gate, const F16* up, std::int64_t count, F16* out) {
  silu_mul_range(gate, up, count, out);
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(silu_mul_f32);
HWY_EXPORT(silu_mul_bf16);
HWY_EXPORT(silu_mul_f16);

namespace {
void run(const float* gate, const float* up, std::int64_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(silu_mul_f32)(gate, up, count, out);
}
void run(const BF16* gate, const BF16* up, std::int64_t count, BF16* out) {
  HWY_DYNAMIC_DISPATCH(silu_mul_bf16)(gate, up, count, out);
}
void run(const F16* gate, const F16* up, std::int64_t count, F16* out) {
  HWY_DYNAMIC_DISPATCH(silu_mul_f16)(gate, up, count, out);
}

template <typename T>
void run_all(const T* gate, const T* up, std::int64_t count, T* out) {
  parallel_for(count, kGrainElements, [=](std::int64_t begin, std::int64_t end) {
    run(gate + begin, up + begin, end - begin, out + begin);
  });
}
}  // namespace

void silu_mul(const ConstTensor& gate, const ConstTensor& up, const Tensor& out) {
  const DType dtype = out.spec.dtype;
  require(gate.spec == out.spec && up.spec == out.spec, ErrorCode::kInvalidArgument,
          "SiLU(gate) * up of {} {} and {} {} into {} {}, expected the same",
          dtype_name(gate.spec.dtype), gate.spec.shape, dtype_name(up.spec.dtype), up.spec.shape,
          dtype_name(dtype), out.spec.shape);
  const std::int64_t count = out.spec.shape.elements();
  switch (dtype) {
    case DType::kF32:
      return run_all(gate.as<float>(), up.as<float>(), count, out.as<float>());
    case DType::kBF16:
      return run_all(gate.as<BF16>(), up.as<BF16>(), count, out.as<BF16>());
    case DType::kF16:
      return run_all(gate.as<F16>(), up.as<F16>(), count, out.as<F16>());
    default:
      fail(ErrorCode::kInvalidArgument, "SiLU(gate) * up of {}, expected f32, bf16 or f16",
           dtype_name(dtype));
  }
}

}  // namespace airlock
#endif
