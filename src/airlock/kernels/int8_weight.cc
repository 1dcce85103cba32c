#include "airlock/kernels/int8_weight.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/kernels/int8_weight.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

/// The largest magnitude of a row; infinity or NaN, as bits past infinity's, if it has one: finite
/// floats and what follows them order as their bits do.
template <typename T>
std::uint32_t largest_bits(const T* row, std::int64_t in) {
  const hn::RebindToUnsigned<F32> du;
  auto largest = hn::Zero(du);
  for_each_vector(in, [&](const auto& load, const auto&) {
    const auto magnitude = hn::And(hn::BitCast(du, load(row)), hn::Set(du, 0x7fffffffU));
    largest = hn::Max(largest, magnitude);
  });
  return hn::GetLane(hn::MaxOfLanes(du, largest));
}

/// q = row / scale, rounded. A scale below the normal floats may have lost digits, so that even the
/// row's largest element lies past 127 of them: the ends are set, as the contract has them.
template <typename T>
void quantize_row(const T* row, std::int64_t in, float scale, std::int8_t* q) {
  const F32 df;
  const auto divisor = hn::Set(df, scale);
  const auto most = hn::Set(df, 127.0F);
  for_each_vector(in, [&](const auto& load, const auto& store) {
    const auto value = hn::Div(load(row), divisor);
    store(hn::Min(hn::Max(value, hn::Neg(most)), most), q);
  });
}

std::uint32_t largest_of_f32(const void* row, std::int64_t in) {
  return largest_bits(static_cast<const float*>(row), in);
}
std::uint32_t largest_of_bf16(const void* row, std::int64_t in) {
  return largest_bits(static_cast<const BF16*>(row), in);
}
std::uint32_t largest_of_f16(const void* row, std::int64_t in) {
  return largest_bits(static_cast<const F16*>(row), in);
}
void quantize_f32(const void* row, std::int64_t in, float scale, std::int8_t* q) {
  quantize_row(static_cast<const float*>(row), in, scale, q);
}
void quantize_bf16(const void* row, std::int64_t in, float scale, std::int8_t* q) {
  quantize_row(static_cast<const BF16*>(row), in, scale, q);
}
void quantize_f16(const void* row, std::int64_t in, float scale, std::int8_t* q) {
  quantize_row(static_cast<const F16*>(row), in, scale, q);
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <algorithm>
#include <bit>

#include "airlock/core/denormals.h"
#include "airlock/core/error.h"

namespace airlock {
HWY_EXPORT(largest_of_f32);
HWY_EXPORT(largest_of_bf16);
HWY_EXPORT(largest_of_f16);
HWY_EXPORT(quantize_f32);
HWY_EXPORT(quantize_bf16);
HWY_EXPORT(quantize_f16);

namespace {

std::uint32_t largest_of(DType dtype, const void* row, std::int64_t in) {
  if (dtype == DType::kF32) return HWY_DYNAMIC_DISPATCH(largest_of_f32)(row, in);
  if (dtype == DType::kBF16) return HWY_DYNAMIC_DISPATCH(largest_of_bf16)(row, in);
  return HWY_DYNAMIC_DISPATCH(largest_of_f16)(row, in);
}

void quantize(DType dtype, const void* row, std::int64_t in, float scale, std::int8_t* q) {
  if (dtype == DType::kF32) return HWY_DYNAMIC_DISPATCH(quantize_f32)(row, in, scale, q);
  if (dtype == DType::kBF16) return HWY_DYNAMIC_DISPATCH(quantize_bf16)(row, in, scale, q);
  HWY_DYNAMIC_DISPATCH(quantize_f16)(row, in, scale, q);
}

}  // namespace

void quantize_weight_rows(ConstTensor weight, std::int64_t row, std::int64_t rows,
                          std::span<std::int8_t> q, std::span<float> scales,
                          std::int64_t counted_from) {
  const DType dtype = weight.spec.dtype;
  require(dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16,
          ErrorCode::kInvalidArgument, "a weight is {}, expected f32, bf16 or f16",
          dtype_name(dtype));
  const Shape& shape = weight.spec.shape;
  require(shape.rank() == 2 && row >= 0 && rows >= 0 && rows <= shape[0] - row &&
              static_cast<std::int64_t>(q.size()) >= rows * shape[1] &&
              static_cast<std::int64_t>(scales.size()) >= rows,
          ErrorCode::kInternal, "rows {} to {} of a weight {} into {} bytes and {} scales", row,
          row + rows, shape, q.size(), scales.size());
  const std::int64_t in = shape[1];
  const std::size_t row_bytes = static_cast<std::size_t>(in) * dtype_size(dtype);
  const KeepDenormals keep;  // both sides quantize, and compare products
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::byte* values = weight.data + static_cast<std::size_t>(row + r) * row_bytes;
    std::int8_t* out = q.data() + r * in;
    const std::uint32_t largest = largest_of(dtype, values, in);
    require(largest < 0x7f800000U, ErrorCode::kInvalidArgument,
            "row {} of a weight holds an infinity or NaN", counted_from + row + r);
    const float scale = std::bit_cast<float>(largest) / 127.0F;
    scales[static_cast<std::size_t>(r)] = scale;
    if (scale == 0) {
      std::fill_n(out, in, std::int8_t{0});
    } else {
      quantize(dtype, values, in, scale, out);
    }
  }
}

}  // namespace airlock
#endif
