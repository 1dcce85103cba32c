#include "airlock/math/convert.h"

#include <cstring>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/grain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/convert.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

template <typename From, typename To>
void convert_typed(const void* from, void* to, std::int64_t count) {
  const auto* in = static_cast<const From*>(from);
  auto* out = static_cast<To*>(to);
  for_each_vector(count, [&](const auto& load, const auto& store) { store(load(in), out); });
}

template <typename From>
void convert_from(const void* from, DType to_dtype, void* to, std::int64_t count) {
  switch (to_dtype) {
    case DType::kF32:
      return convert_typed<From, float>(from, to, count);
    case DType::kBF16:
      return convert_typed<From, BF16>(from, to, count);
    default:
      return convert_typed<From, F16>(from, to, count);
  }
}

/// Any pair of f32, bf16 and f16.
void convert_floats(DType from_dtype, const void* from, DType to_dtype, void* to,
                    std::int64_t count) {
  switch (from_dtype) {
    case DType::kF32:
      return convert_from<float>(from, to_dtype, to, count);
    case DType::kBF16:
      return convert_from<BF16>(from, to_dtype, to, count);
    default:
      return convert_from<F16>(from, to_dtype, to, count);
  }
}

/// Quantises one row; returns its scale.
template <typename From>
float quantize_typed(const void* from, std::int64_t count, std::int8_t* to) {
  const F32 df;
  const auto* in = static_cast<const From*>(from);
  const auto limit = hn::Set(df, 3.40282347e38F);
  auto top = hn::Zero(df);
  for_each_vector(count, [&](const auto& load, const auto&) {
    const auto magnitude = hn::Abs(load(in));
    top = hn::Max(top, hn::IfThenElseZero(hn::Le(magnitude, limit), magnitude));
  });
  const float scale = hn::GetLane(hn::MaxOfLanes(df, top)) / 127.0F;
  const auto divisor = hn::Set(df, scale);
  const auto largest = hn::Set(df, 127.0F);
  for_each_vector(count, [&](const auto& load, const auto& store) {
    const auto quotient = hn::Div(load(in), divisor);
    const auto number = hn::IfThenElseZero(hn::Eq(quotient, quotient), quotient);
    store(hn::Min(hn::Max(number, hn::Neg(largest)), largest), to);
  });
  return scale;
}

float quantize_row(DType from_dtype, const void* from, std::int64_t count, std::int8_t* to) {
  switch (from_dtype) {
    case DType::kF32:
      return quantize_typed<float>(from, count, to);
    case DType::kBF16:
      return quantize_typed<BF16>(from, count, to);
    default:
      return quantize_typed<F16>(from, count, to);
  }
}

template <typename To>
void dequantize_typed(const std::int8_t* from, float scale, std::int64_t count, void* to) {
  const F32 df;
  const auto factor = hn::Set(df, scale);
  auto* out = static_cast<To*>(to);
  for_each_vector(
      count, [&](const auto& load, const auto& store) { store(hn::Mul(load(from), factor), out); });
}

void dequantize_row(const std::int8_t* from, float scale, std::int64_t count, DType to_dtype,
                    void* to) {
  switch (to_dtype) {
    case DType::kF32:
      return dequantize_typed<float>(from, scale, count, to);
    case DType::kBF16:
      return dequantize_typed<BF16>(from, scale, count, to);
    default:
      return dequantize_typed<F16>(from, scale, count, to);
  }
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(convert_floats);
HWY_EXPORT(quantize_row);
HWY_EXPORT(dequantize_row);

namespace {
bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

void copy(ConstTensor from, Tensor to) {
  parallel_for(from.bytes(), kGrainElements * 4, [=](std::int64_t begin, std::int64_t end) {
    std::memcpy(to.data + begin, from.data + begin, static_cast<std::size_t>(end - begin));
  });
}

void quantize(ConstTensor from, Tensor to) {
  const std::int64_t columns = from.spec.shape.columns();
  std::byte* scales = to.data + from.spec.shape.elements();
  const auto size = static_cast<std::int64_t>(dtype_size(from.spec.dtype));
  parallel_for(
      from.spec.shape.rows(), grain_rows(columns), [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row) {
          const float scale =
              HWY_DYNAMIC_DISPATCH(quantize_row)(from.spec.dtype, from.data + row * columns * size,
                                                 columns, to.as<std::int8_t>() + row * columns);
          std::memcpy(scales + row * 4, &scale, sizeof(scale));
        }
      });
}

void dequantize(ConstTensor from, Tensor to) {
  const std::int64_t columns = from.spec.shape.columns();
  const std::byte* scales = from.data + from.spec.shape.elements();
  const auto size = static_cast<std::int64_t>(dtype_size(to.spec.dtype));
  parallel_for(from.spec.shape.rows(), grain_rows(columns),
               [=](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t row = begin; row < end; ++row) {
                   float scale = 0;
                   std::memcpy(&scale, scales + row * 4, sizeof(scale));
                   HWY_DYNAMIC_DISPATCH(dequantize_row)
                   (from.as<std::int8_t>() + row * columns, scale, columns, to.spec.dtype,
                    to.data + row * columns * size);
                 }
               });
}
}  // namespace

void convert(ConstTensor from, Tensor to) {
  require(from.spec.shape == to.spec.shape, ErrorCode::kInvalidArgument,
          "convert: shape {} into shape {}, expected the same", from.spec.shape.to_string(),
          to.spec.shape.to_string());
  const DType source = from.spec.dtype;
  const DType target = to.spec.dtype;
  if (from.spec.shape.elements() == 0 && source != DType::kI8 && target != DType::kI8) return;
  if (source == target) return copy(from, to);
  if (is_float(source) && target == DType::kI8) return quantize(from, to);
  if (source == DType::kI8 && is_float(target)) return dequantize(from, to);
  require(is_float(source) && is_float(target), ErrorCode::kInvalidArgument,
          "convert: {} into {}, expected two of f32, bf16, f16 and int8", dtype_name(source),
          dtype_name(target));
  const auto from_size = static_cast<std::int64_t>(dtype_size(source));
  const auto to_size = static_cast<std::int64_t>(dtype_size(target));
  parallel_for(
      from.spec.shape.elements(), kGrainElements, [=](std::int64_t begin, std::int64_t end) {
        HWY_DYNAMIC_DISPATCH(convert_floats)
        (source, from.data + begin * from_size, target, to.data + begin * to_size, end - begin);
      });
}

void convert_elements(DType from_dtype, const void* from, DType to_dtype, void* to,
                      std::int64_t count) {
  require(is_float(from_dtype) && is_float(to_dtype), ErrorCode::kInvalidArgument,
          "convert: {} into {}, expected two of f32, bf16 and f16", dtype_name(from_dtype),
          dtype_name(to_dtype));
  if (count <= 0) return;
  if (from_dtype == to_dtype) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * dtype_size(from_dtype));
    return;
  }
  HWY_DYNAMIC_DISPATCH(convert_floats)(from_dtype, from, to_dtype, to, count);
}

}  // namespace airlock
#endif
