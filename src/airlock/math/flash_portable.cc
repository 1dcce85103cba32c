#include <algorithm>
#include <cmath>

#include "airlock/math/flash_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "airlock/math/flash_portable.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep

#include "airlock/math/simd.inc"

HWY_BEFORE_NAMESPACE();
namespace airlock::HWY_NAMESPACE {
namespace flash {

constexpr std::int64_t kKeyBlock = 128;
constexpr std::int64_t kItemRows = 512;
// Two vectors of rows times kTile broadcast elements: 16 accumulators hide the latency of two FMA
// units on 32 registers, 8 on 16.
constexpr std::int64_t kTile = HWY_TARGET <= HWY_AVX3 ? 8 : 4;

std::int64_t panel_rows() {
  return 2 * static_cast<std::int64_t>(hn::Lanes(F32()));
}
std::int64_t padded(std::int64_t head_dim) {
  return (head_dim + kTile - 1) / kTile * kTile;
}
std::int64_t floats(std::int64_t count) {
  return count * static_cast<std::int64_t>(sizeof(float));
}
std::int64_t query_bytes(std::int64_t head_dim) {
  return floats(head_dim * panel_rows());
}
std::int64_t block_bytes(std::int64_t head_dim) {
  return floats(padded(head_dim) * kKeyBlock);
}
std::int64_t scratch_bytes(std::int64_t) {
  return floats(kKeyBlock * panel_rows());
}
void nothing() {}

/// out: [head_dim, panel_rows] f32.
template <typename T>
void pack_queries(const void* const* rows, std::int64_t count, std::int64_t head_dim, void* out) {
  const std::int64_t width = panel_rows();
  auto* to = static_cast<float*>(out);
  for (std::int64_t r = 0; r < width; ++r) {
    const auto* from = r < count ? static_cast<const T*>(rows[r]) : nullptr;
    for (std::int64_t d = 0; d < head_dim; ++d) {
      float value = 0;
      if constexpr (std::is_same_v<T, float>) {
        if (from != nullptr) value = from[d];
      } else {
        if (from != nullptr) value = from[d].to_float();
      }
      to[d * width + r] = value;
    }
  }
}

/// out: [key_block, padded head_dim] f32, rows in multiples of kTile.
template <typename T>
void pack_block(const void* rows, std::int64_t stride_bytes, std::int64_t count,
                std::int64_t head_dim, void* out) {
  const std::int64_t width = padded(head_dim);
  auto* to = static_cast<float*>(out);
  for (std::int64_t j = 0; j < count; ++j, to += width) {
    const auto* from =
        reinterpret_cast<const T*>(static_cast<const std::byte*>(rows) + j * stride_bytes);
    for_each_vector(head_dim, [&](const auto& load, const auto& store) { store(load(from), to); });
    std::fill(to + head_dim, to + width, 0.0F);
  }
  const std::int64_t rest = (kTile - count % kTile) % kTile;
  std::fill(to, to + rest * width, 0.0F);
}

/// The one inner loop: c[i][lane] = c0[i][lane] + sum over n < depth of a[i * a_row + n * a_step] *
/// b[n * b_stride + lane], for kTile rows i and kVectors vectors of lanes.
template <int kVectors>
struct Tile {
  hn::Vec<F32> c[kTile][kVectors];

  HWY_INLINE void multiply(const float* a, std::int64_t a_row, std::int64_t a_step, const float* b,
                           std::int64_t b_stride, std::int64_t depth) {
    const F32 df;
    const std::size_t lanes = hn::Lanes(df);
    for (std::int64_t n = 0; n < depth; ++n, a += a_step, b += b_stride) {
      hn::Vec<F32> columns[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        columns[v] = hn::Load(df, b + static_cast<std::size_t>(v) * lanes);
#pragma GCC unroll 8
      for (int i = 0; i < kTile; ++i) {
        const auto element = hn::Set(df, a[i * a_row]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) c[i][v] = hn::MulAdd(element, columns[v], c[i][v]);
      }
    }
  }
};

/// scores[j][lane] = k[j] . q[lane].
template <int kVectors>
void score(const FlashPanel& panel, float* scores) {
  const F32 df;
  const std::size_t lanes = hn::Lanes(df);
  const std::int64_t rows = panel_rows();
  const std::int64_t width = padded(panel.head_dim);
  const auto* queries = static_cast<const float*>(panel.queries);
  const auto* keys = static_cast<const float*>(panel.keys);
  for (std::int64_t j = 0; j < panel.key_count; j += kTile) {
    Tile<kVectors> tile;
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) tile.c[i][v] = hn::Zero(df);
    }
    tile.multiply(keys + j * width, width, 1, queries, rows, panel.head_dim);
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        hn::Store(tile.c[i][v], df, scores + (j + i) * rows + static_cast<std::size_t>(v) * lanes);
      }
    }
  }
}

/// Hides the keys past each row's limit.
void mask(const FlashPanel& panel, float* scores) {
  const F32 df;
  const hn::RebindToSigned<F32> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const std::int64_t rows = panel_rows();
  const auto hidden = hn::BitCast(df, hn::Set(di, static_cast<std::int32_t>(0xff800000U)));
  for (std::int64_t v = 0; v < rows; v += lanes) {
    const auto limit = hn::LoadU(di, panel.limits + v);
    std::int64_t first = panel.key_count;
    for (std::int64_t r = v; r < v + lanes; ++r)
      first = std::min<std::int64_t>(first, panel.limits[r]);
    for (std::int64_t j = first; j < panel.key_count; ++j) {
      const auto seen = hn::Gt(limit, hn::Set(di, static_cast<std::int32_t>(j)));
      float* at = scores + j * rows + v;
      hn::Store(hn::IfThenElse(hn::RebindMask(df, seen), hn::Load(df, at), hidden), df, at);
    }
  }
}

/// Turns one vector of rows' scores into weights; updates their state; returns what earlier output
/// shrinks by.
HWY_INLINE hn::Vec<F32> weigh(const FlashPanel& panel, float* scores, std::int64_t at) {
  const F32 df;
  const std::int64_t rows = panel_rows();
  scores += at;
  auto top0 = hn::Set(df, -3.40282347e38F);
  auto top1 = top0;
  std::int64_t j = 0;
  for (; j + 2 <= panel.key_count; j += 2) {
    // NaN in the second operand is kept by no rule; it returns through the exponential.
    top0 = hn::Max(hn::Load(df, scores + j * rows), top0);
    top1 = hn::Max(hn::Load(df, scores + (j + 1) * rows), top1);
  }
  if (j < panel.key_count) top0 = hn::Max(hn::Load(df, scores + j * rows), top0);
  const auto scale = hn::Set(df, panel.scale);
  const auto old_max = hn::Load(df, panel.max + at);
  const auto new_max = hn::Max(old_max, hn::Mul(hn::Max(top0, top1), scale));
  const auto shrink = simd_exp2_nonpositive(df, hn::Sub(old_max, new_max));
  auto sum0 = hn::Mul(hn::Load(df, panel.sum + at), shrink);
  auto sum1 = hn::Zero(df);
  for (j = 0; j + 2 <= panel.key_count; j += 2) {
    float* row = scores + j * rows;
    const auto p0 = simd_exp2_nonpositive(df, hn::MulSub(hn::Load(df, row), scale, new_max));
    const auto p1 = simd_exp2_nonpositive(df, hn::MulSub(hn::Load(df, row + rows), scale, new_max));
    hn::Store(p0, df, row);
    hn::Store(p1, df, row + rows);
    sum0 = hn::Add(sum0, p0);
    sum1 = hn::Add(sum1, p1);
  }
  if (j < panel.key_count) {
    float* row = scores + j * rows;
    const auto p = simd_exp2_nonpositive(df, hn::MulSub(hn::Load(df, row), scale, new_max));
    hn::Store(p, df, row);
    sum0 = hn::Add(sum0, p);
  }
  hn::Store(new_max, df, panel.max + at);
  hn::Store(hn::Add(sum0, sum1), df, panel.sum + at);
  return shrink;
}

template <int kVectors>
void run_vectors(const FlashPanel& panel) {
  const F32 df;
  const std::size_t lanes = hn::Lanes(df);
  const std::int64_t rows = panel_rows();
  const std::int64_t width = padded(panel.head_dim);
  auto* scores = static_cast<float*>(panel.scratch);
  score<kVectors>(panel, scores);
  if (panel.limits != nullptr) mask(panel, scores);
  hn::Vec<F32> shrink[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    shrink[v] =
        weigh(panel, scores, static_cast<std::int64_t>(static_cast<std::size_t>(v) * lanes));
  }
  const auto* values = static_cast<const float*>(panel.values);
  for (std::int64_t d = 0; d < width; d += kTile) {
    Tile<kVectors> tile;
    float* output = panel.output + d * rows;
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        tile.c[i][v] = hn::Mul(
            hn::Load(df, output + i * rows + static_cast<std::size_t>(v) * lanes), shrink[v]);
      }
    }
    tile.multiply(values + d, 1, width, scores, rows, panel.key_count);
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        hn::Store(tile.c[i][v], df, output + i * rows + static_cast<std::size_t>(v) * lanes);
      }
    }
  }
}

void run(const FlashPanel* panels, std::int64_t count) {
  for (const FlashPanel* panel = panels; panel != panels + count; ++panel) {
    if (panel->rows * 2 <= panel_rows()) {
      run_vectors<1>(*panel);
    } else {
      run_vectors<2>(*panel);
    }
  }
}

void finish(const float* output, const float* factors, std::int64_t count, std::int64_t head_dim,
            DType out_dtype, void* const* rows) {
  const std::int64_t width = panel_rows();
  for (std::int64_t r = 0; r < count; ++r) {
    const float factor = factors[r];
    if (out_dtype == DType::kF32) {
      auto* to = static_cast<float*>(rows[r]);
      for (std::int64_t d = 0; d < head_dim; ++d) to[d] = output[d * width + r] * factor;
    } else {
      auto* to = static_cast<BF16*>(rows[r]);
      for (std::int64_t d = 0; d < head_dim; ++d) {
        to[d] = BF16::from_float(output[d * width + r] * factor);
      }
    }
  }
}

template <typename T>
const FlashKernel* kernel() {
  static const FlashKernel made = {.name = "portable",
                                   .panel_rows = panel_rows(),
                                   .key_block = kKeyBlock,
                                   .item_rows = kItemRows,
                                   .query_bytes = query_bytes,
                                   .key_bytes = block_bytes,
                                   .value_bytes = block_bytes,
                                   .scratch_bytes = scratch_bytes,
                                   .output_rows = padded,
                                   .begin = nothing,
                                   .end = nothing,
                                   .pack_queries = pack_queries<T>,
                                   .pack_keys = pack_block<T>,
                                   .pack_values = pack_block<T>,
                                   .run = run,
                                   .finish = finish};
  return &made;
}

}  // namespace flash

const FlashKernel* flash_kernel_f32() {
  return flash::kernel<float>();
}
const FlashKernel* flash_kernel_bf16() {
  return flash::kernel<BF16>();
}

}  // namespace airlock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace airlock {
HWY_EXPORT(flash_kernel_f32);
HWY_EXPORT(flash_kernel_bf16);

const FlashKernel* flash_kernel_portable(DType dtype) {
  if (dtype == DType::kF32) return HWY_DYNAMIC_DISPATCH(flash_kernel_f32)();
  return HWY_DYNAMIC_DISPATCH(flash_kernel_bf16)();
}

}  // namespace airlock
#endif
