#include "airlock/math/softmax.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/grain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/softmax.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

/// Softmax of scale * row[0, count) in place. Row maximum first, then exponentials and their sum,
/// then one multiplication: three passes over a row that stays in the first-level cache.
void softmax_row(float* row, std::int64_t count, float scale) {
  const F32 df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  auto top = hn::Set(df, -std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) top = hn::Max(top, hn::LoadU(df, row + i));
  float highest = hn::GetLane(hn::MaxOfLanes(df, top));
  for (; i < count; ++i) highest = std::fmax(highest, row[i]);

  const auto factor = hn::Set(df, scale);
  const auto shift = hn::Set(df, highest * scale);
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
      const auto p0 = simd_exp(df, hn::MulSub(hn::LoadU(df, row + i), factor, shift));
      const auto p1 = simd_exp(df, hn::MulSub(hn::LoadU(df, row + i + lanes), factor, shift));
      hn::StoreU(p0, df, row + i);
      hn::StoreU(p1, df, row + i + lanes);
      sum0 = hn::Add(sum0, p0);
      sum1 = hn::Add(sum1, p1);
    }
    sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(df, hn::Add(sum0, sum1))));
    float* rest = row + i;
    const std::int64_t rest_count = end - i;
    for_each_vector(rest_count, [&](const auto& load, const auto& store) {
      store(simd_exp(df, hn::MulSub(load(rest), factor, shift)), rest);
    });
    for (; i < end; ++i) sum += static_cast<double>(row[i]);
  }

  const auto inverse = hn::Set(df, static_cast<float>(1.0 / sum));
  for_each_vector(
      count, [&](const auto& load, const auto& store) { store(hn::Mul(load(row), inverse), row); });
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(softmax_row);

void causal_softmax(float* scores, std::int64_t heads, std::int64_t tokens, std::int64_t context,
                    std::int64_t position, float scale) {
  require(position >= 0 && tokens >= 0 && heads >= 0 && context >= tokens &&
              position <= context - tokens,
          ErrorCode::kInvalidArgument,
          "causal softmax of {} heads, {} tokens at position {} over a context of {}: expected "
          "0 <= position <= context - tokens",
          heads, tokens, position, context);
  require(std::isfinite(scale) && scale >= 0, ErrorCode::kInvalidArgument,
          "causal softmax: scale is {}, expected finite and not negative", scale);
  parallel_for(heads * tokens, grain_rows(context), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      // Early and late rows alternate: a contiguous share then holds as many short as long rows.
      const std::int64_t turn = i % tokens;
      const std::int64_t token = turn % 2 == 0 ? turn / 2 : tokens - 1 - turn / 2;
      float* row = scores + (i - turn + token) * context;
      const std::int64_t attended = position + token + 1;
      HWY_DYNAMIC_DISPATCH(softmax_row)(row, attended, scale);
      std::memset(row + attended, 0, static_cast<std::size_t>(context - attended) * sizeof(float));
    }
  });
}

}  // namespace airlock
#endif
