#include "airlock/math/softmax.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/grain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/softmax.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

inline float widen(float value) {
  return value;
}
template <typename T>
float widen(T value) {
  return value.to_float();
}

/// Softmax of scale * row[0, count) in place. Row maximum first, then exponentials and their sum,
/// then one multiplication: three passes over a row that stays in the first-level cache. Narrow
/// rows have no room for the exponentials, which are computed again instead of being rounded twice.
template <typename T>
void softmax_row(T* row, std::int64_t count, float scale) {
  constexpr bool kKeeps = std::is_same_v<T, float>;
  const F32 df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto lowest = hn::Set(df, -std::numeric_limits<float>::infinity());
  auto top = lowest;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) top = hn::Max(top, load_f32(df, row + i));
  float highest = hn::GetLane(hn::MaxOfLanes(df, top));
  for (; i < count; ++i) highest = std::fmax(highest, widen(row[i]));

  const auto factor = hn::Set(df, scale);
  const auto shift = hn::Set(df, highest * scale);
  const auto exponential = [&](auto score) {
    return simd_exp(df, hn::MulSub(score, factor, shift));
  };
  // Partial sums of at most this many elements stay in f32; f64 adds them up, so that the error
  // does not grow with the context.
  constexpr std::int64_t kBlock = 4096;
  double sum = 0;
  for (std::int64_t block = 0; block < count; block += kBlock) {
    const std::int64_t end = std::min(block + kBlock, count);
    auto sum0 = hn::Zero(df);
    auto sum1 = hn::Zero(df);
    i = block;
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      const auto p0 = exponential(load_f32(df, row + i));
      const auto p1 = exponential(load_f32(df, row + i + lanes));
      if constexpr (kKeeps) {
        hn::StoreU(p0, df, row + i);
        hn::StoreU(p1, df, row + i + lanes);
      }
      sum0 = hn::Add(sum0, p0);
      sum1 = hn::Add(sum1, p1);
    }
    sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(df, hn::Add(sum0, sum1))));
    float rest[2 * HWY_MAX_BYTES / sizeof(float)];
    T* const from = row + i;
    for_each_vector(end - i, [&](const auto& load, const auto& store) {
      const auto p = exponential(load(from));
      store(p, rest);
      if constexpr (kKeeps) store(p, from);
    });
    for (std::int64_t r = 0; r < end - i; ++r) sum += static_cast<double>(rest[r]);
  }

  const auto inverse = hn::Set(df, static_cast<float>(1.0 / sum));
  for_each_vector(count, [&](const auto& load, const auto& store) {
    if constexpr (kKeeps) {
      store(hn::Mul(load(row), inverse), row);
    } else {
      store(hn::Mul(exponential(load(row)), inverse), row);
    }
  });
}

void softmax_row_of(DType dtype, void* row, std::int64_t count, float scale) {
  switch (dtype) {
    case DType::kF32:
      return softmax_row(static_cast<float*>(row), count, scale);
    case DType::kBF16:
      return softmax_row(static_cast<BF16*>(row), count, scale);
    default:
      return softmax_row(static_cast<F16*>(row), count, scale);
  }
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(softmax_row_of);

void causal_softmax(const Tensor& scores, std::int64_t position, float scale) {
  const auto& [dtype, shape] = scores.spec;
  require(
      shape.rank() == 3 && (dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16),
      ErrorCode::kInvalidArgument,
      "causal softmax of {} {}, expected [heads, tokens, context] of f32, bf16 or f16",
      dtype_name(dtype), shape);
  const std::int64_t heads = shape[0];
  const std::int64_t tokens = shape[1];
  const std::int64_t context = shape[2];
  require(position >= 0 && context >= tokens && position <= context - tokens,
          ErrorCode::kInvalidArgument,
          "causal softmax of {} heads, {} tokens at position {} over a context of {}: expected "
          "0 <= position <= context - tokens",
          heads, tokens, position, context);
  require(std::isfinite(scale) && scale >= 0, ErrorCode::kInvalidArgument,
          "causal softmax: scale is {}, expected finite and not negative", scale);
  const auto size = static_cast<std::int64_t>(dtype_size(dtype));
  parallel_for(heads * tokens, grain_rows(context),
               [=, dtype = dtype, data = scores.data](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   // Early and late rows alternate: a contiguous share then holds as many short as
                   // long rows.
                   const std::int64_t turn = i % tokens;
                   const std::int64_t token = turn % 2 == 0 ? turn / 2 : tokens - 1 - turn / 2;
                   std::byte* row = data + (i - turn + token) * context * size;
                   const std::int64_t attended = position + token + 1;
                   HWY_DYNAMIC_DISPATCH(softmax_row_of)(dtype, row, attended, scale);
                   std::memset(row + attended * size, 0,
                               static_cast<std::size_t>((context - attended) * size));
                 }
               });
}

}  // namespace airlock
#endif
