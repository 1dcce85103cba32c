#include "airlock/math/gemv.h"

#include <algorithm>

#include <hwy/cache_control.h>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/math/grain.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/gemv.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {

/// Rows of x that one pass over a tile of weights serves.
constexpr std::int64_t kGroup = 4;

/// As load_f32, which also keeps the bits of every NaN: finite halves alone have an instruction.
template <class D, typename T>
HWY_INLINE hn::Vec<D> load_weights(D df, const T* from) {
  if constexpr (std::is_same_v<T, F16>) {
    const hn::Rebind<hwy::float16_t, D> d16;
    return hn::PromoteTo(df, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(from)));
  } else {
    return load_f32(df, from);
  }
}

/// Dot products of kOutputs weight rows with kRows rows of x, one vector of partial sums each:
/// enough of them to hide the latency of their additions, few enough for 16 registers.
template <int kOutputs, int kRows>
struct Dots {
  hn::Vec<F32> sums[kOutputs][kRows];

  HWY_INLINE Dots() {
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sums[o][r] = hn::Zero(F32());
    }
  }

  /// One vector of inputs: load(pointer) gives it from wherever a row's pointer points.
  template <typename T, class Load>
  HWY_INLINE void add(const float* x, const T* w, std::int64_t inputs, const Load& load) {
    hn::Vec<F32> of_x[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) of_x[r] = load(x + r * inputs);
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      const auto of_w = load(w + o * inputs);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sums[o][r] = hn::MulAdd(of_w, of_x[r], sums[o][r]);
    }
  }

  HWY_INLINE void store(float* out, std::int64_t outputs) const {
    for (int o = 0; o < kOutputs; ++o) {
      for (int r = 0; r < kRows; ++r) {
        out[r * outputs + o] = hn::GetLane(hn::SumOfLanes(F32(), sums[o][r]));
      }
    }
  }
};

/// `ahead`: the weight rows to come, fetched while these are used. Hardware fetches ahead too, but
/// not past a page, and a page may be one row.
template <int kOutputs, int kRows, typename T>
void dot_tile(const float* x, const T* w, const T* ahead, std::int64_t inputs, float* out,
              std::int64_t outputs) {
  constexpr auto kLine = static_cast<std::int64_t>(64 / sizeof(T));
  const F32 df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto load = [df](const auto* from) { return load_weights(df, from); };
  Dots<kOutputs, kRows> dots;
  std::int64_t i = 0;
  for (; i + kLine <= inputs; i += kLine) {
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) hwy::Prefetch(ahead + o * inputs + i);
#pragma GCC unroll 8
    for (std::int64_t v = 0; v < kLine; v += lanes) dots.add(x + i + v, w + i + v, inputs, load);
  }
  for (; i + lanes <= inputs; i += lanes) dots.add(x + i, w + i, inputs, load);
  if (i < inputs) {
    const auto rest = static_cast<std::size_t>(inputs - i);
    dots.add(x + i, w + i, inputs, [df, rest](const auto* from) {
      std::remove_cvref_t<decltype(*from)> copy[HWY_MAX_BYTES / sizeof(float)] = {};
      std::memcpy(copy, from, rest * sizeof(copy[0]));
      return load_weights(df, copy);
    });
  }
  dots.store(out, outputs);
}

/// The same for any number of rows: groups after the first find the tile in the cache.
template <int kOutputs, typename T>
void dot_rows(const float* x, std::int64_t rows, const T* w, const T* ahead, std::int64_t inputs,
              float* out, std::int64_t outputs) {
  for (std::int64_t r = 0; r < rows; r += kGroup, x += kGroup * inputs, out += kGroup * outputs) {
    switch (rows - r) {
      case 1:
        dot_tile<kOutputs, 1>(x, w, ahead, inputs, out, outputs);
        break;
      case 2:
        dot_tile<kOutputs, 2>(x, w, ahead, inputs, out, outputs);
        break;
      case 3:
        dot_tile<kOutputs, 3>(x, w, ahead, inputs, out, outputs);
        break;
      default:
        dot_tile<std::min(kOutputs, 2), 4>(x, w, ahead, inputs, out, outputs);
        if constexpr (kOutputs == 4) {
          dot_tile<2, 4>(x, w + 2 * inputs, ahead + 2 * inputs, inputs, out + 2, outputs);
        }
    }
    ahead = w;
  }
}

/// Outputs [begin, end).
template <typename T>
void gemv_typed(const float* x, std::int64_t rows, const void* weights, std::int64_t inputs,
                float* out, std::int64_t outputs, std::int64_t begin, std::int64_t end) {
  constexpr int kTile = 4;
  const T* w = static_cast<const T*>(weights) + begin * inputs;
  std::int64_t o = begin;
  for (; o + kTile <= end; o += kTile, w += kTile * inputs) {
    const T* ahead = o + 2 * kTile <= end ? w + kTile * inputs : w;
    dot_rows<kTile>(x, rows, w, ahead, inputs, out + o, outputs);
  }
  for (; o < end; ++o, w += inputs) dot_rows<1>(x, rows, w, w, inputs, out + o, outputs);
}

void gemv_range(DType dtype, const float* x, std::int64_t rows, const void* w, std::int64_t inputs,
                float* out, std::int64_t outputs, std::int64_t begin, std::int64_t end) {
  switch (dtype) {
    case DType::kF32:
      return gemv_typed<float>(x, rows, w, inputs, out, outputs, begin, end);
    case DType::kBF16:
      return gemv_typed<BF16>(x, rows, w, inputs, out, outputs, begin, end);
    default:
      return gemv_typed<F16>(x, rows, w, inputs, out, outputs, begin, end);
  }
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(gemv_range);

void gemv(const float* x, std::int64_t rows, std::span<const GemvProduct> products) {
  if (products.empty()) return;
  const std::int64_t inputs = products[0].w.spec.shape[1];
  std::int64_t outputs = 0;
  for (const GemvProduct& product : products) {
    const TensorSpec& w = product.w.spec;
    require(w.dtype == DType::kF32 || w.dtype == DType::kBF16 || w.dtype == DType::kF16,
            ErrorCode::kInternal, "gemv with {} weights, expected f32, bf16 or f16",
            dtype_name(w.dtype));
    require(w.shape[1] == inputs, ErrorCode::kInternal, "gemv with weights of {} and {} inputs",
            inputs, w.shape[1]);
    outputs += w.shape[0];
  }
  parallel_for(outputs, grain_rows(inputs), [=](std::int64_t begin, std::int64_t end) {
    std::int64_t first = 0;
    for (const GemvProduct& product : products) {
      const std::int64_t count = product.w.spec.shape[0];
      const std::int64_t from = std::max(begin - first, std::int64_t{0});
      const std::int64_t to = std::min(end - first, count);
      if (from < to) {
        HWY_DYNAMIC_DISPATCH(gemv_range)
        (product.w.spec.dtype, x, rows, product.w.data, inputs, product.out, count, from, to);
      }
      first += count;
    }
  });
}

}  // namespace airlock
#endif
