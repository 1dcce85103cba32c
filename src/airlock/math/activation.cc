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

template <typename T>
void run_rows(const T* gate, std::int64_t gate_stride, const T* up, std::int64_t up_stride,
              std::int64_t tokens, std::int64_t ffn, T* out, std::int64_t out_stride) {
  if (tokens == 1) return run_all(gate, up, ffn, out);
  parallel_for(tokens, grain_rows(ffn), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      run(gate + t * gate_stride, up + t * up_stride, ffn, out + t * out_stride);
    }
  });
}
}  // namespace

void silu_mul(const float* gate, const float* up, std::int64_t count, float* out) {
  run_all(gate, up, count, out);
}

void silu_mul(const BF16* gate, const BF16* up, std::int64_t count, BF16* out) {
  run_all(gate, up, count, out);
}

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

void silu_mul_rows(const float* gate, std::int64_t gate_stride, const float* up,
                   std::int64_t up_stride, std::int64_t tokens, std::int64_t ffn, float* out,
                   std::int64_t out_stride) {
  run_rows(gate, gate_stride, up, up_stride, tokens, ffn, out, out_stride);
}

void silu_mul_rows(const BF16* gate, std::int64_t gate_stride, const BF16* up,
                   std::int64_t up_stride, std::int64_t tokens, std::int64_t ffn, BF16* out,
                   std::int64_t out_stride) {
  run_rows(gate, gate_stride, up, up_stride, tokens, ffn, out, out_stride);
}

}  // namespace airlock
#endif
