#include "airlock/math/flash_kernel.h"

#if defined(__x86_64__)
#include "airlock/core/isa.h"
#include "airlock/math/flash_avx512.inc"

namespace airlock {
namespace {

constexpr std::int64_t kItemRows = 512;
constexpr std::int64_t kTile = 8;  // times two vectors: 16 accumulators, twice the latency to hide

void nothing() {}

/// out: [key_block / 2, output rows] pairs of keys.
AIRLOCK_AVX512_BF16 void pack_values(const void* rows, std::int64_t stride_bytes,
                                     std::int64_t count, std::int64_t head_dim, void* out) {
  auto* to = static_cast<std::uint32_t*>(out);
  for (std::int64_t j = 0; j < count; j += 2) {
    for (std::int64_t d = 0; d < output_rows_of(head_dim); d += 16, to += 16) {
      _mm512_store_si512(to, value_pairs(static_cast<const std::byte*>(rows), stride_bytes, j,
                                         count, d, head_dim));
    }
  }
}

/// c[i * kRows + lane] (+)= sum over n < depth of the pair products a[i * a_row + n * a_step] .
/// b[n * kRows + lane] for kTile rows i.
template <bool kAccumulate>
AIRLOCK_AVX512_BF16 void multiply(const std::uint32_t* a, std::int64_t a_row, std::int64_t a_step,
                                  const std::uint32_t* b, std::int64_t depth, float* c) {
  __m512 sum[kTile][2];
#pragma GCC unroll 8
  for (int i = 0; i < kTile; ++i) {
    sum[i][0] = kAccumulate ? _mm512_load_ps(c + i * kRows) : _mm512_setzero_ps();
    sum[i][1] = kAccumulate ? _mm512_load_ps(c + i * kRows + 16) : _mm512_setzero_ps();
  }
  for (std::int64_t n = 0; n < depth; ++n, a += a_step, b += kRows) {
    const auto b0 = reinterpret_cast<__m512bh>(_mm512_load_si512(b));
    const auto b1 = reinterpret_cast<__m512bh>(_mm512_load_si512(b + 16));
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) {
      const auto element =
          reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[i * a_row])));
      sum[i][0] = _mm512_dpbf16_ps(sum[i][0], element, b0);
      sum[i][1] = _mm512_dpbf16_ps(sum[i][1], element, b1);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kTile; ++i) {
    _mm512_store_ps(c + i * kRows, sum[i][0]);
    _mm512_store_ps(c + i * kRows + 16, sum[i][1]);
  }
}

AIRLOCK_AVX512_BF16 void run_panel(const FlashPanel& panel) {
  auto* scores = static_cast<float*>(panel.scratch);
  auto* weights = reinterpret_cast<std::uint32_t*>(scores + kKeyBlock * kRows);
  const auto* queries = static_cast<const std::uint32_t*>(panel.queries);
  const auto* keys = static_cast<const std::uint32_t*>(panel.keys);
  const auto* values = static_cast<const std::uint32_t*>(panel.values);
  const std::int64_t depth = depth_of(panel.head_dim) / 2;
  const std::int64_t used = (panel.head_dim + 1) / 2;
  for (std::int64_t j = 0; j < panel.key_count; j += kTile) {
    multiply<false>(keys + j * depth, depth, 1, queries, used, scores + j * kRows);
  }
  if (panel.limits != nullptr) mask_scores(panel, scores);
  for (std::int64_t r = 0; r < kRows; r += 16) {
    raise_max(panel, scores, r);
    weigh(panel, scores, weights, r, 0, panel.key_count, panel.key_count);
  }
  const std::int64_t width = output_rows_of(panel.head_dim);
  for (std::int64_t d = 0; d < width; d += kTile) {
    multiply<true>(values + d, 1, width, weights, (panel.key_count + 1) / 2,
                   panel.output + d * kRows);
  }
}

void run(const FlashPanel* panels, std::int64_t count) {
  for (std::int64_t p = 0; p < count; ++p) run_panel(panels[p]);
}

/// Scores [kKeyBlock, kRows] f32, then weights [kKeyBlock / 2, kRows] pairs of bf16.
std::int64_t scratch_bytes(std::int64_t) {
  return kKeyBlock * kRows * 6;
}

}  // namespace

const FlashKernel* flash_kernel_avx512_bf16() {
  static const FlashKernel kernel = {.name = "avx512_bf16",
                                     .panel_rows = kRows,
                                     .key_block = kKeyBlock,
                                     .item_rows = kItemRows,
                                     .query_bytes = query_bytes,
                                     .key_bytes = key_bytes,
                                     .value_bytes = value_bytes,
                                     .scratch_bytes = scratch_bytes,
                                     .output_rows = output_rows_of,
                                     .begin = nothing,
                                     .end = nothing,
                                     .pack_queries = pack_queries,
                                     .pack_keys = pack_keys,
                                     .pack_values = pack_values,
                                     .run = run,
                                     .finish = finish};
  return isa() >= Isa::kAvx512Bf16 ? &kernel : nullptr;
}

}  // namespace airlock

#else

namespace airlock {
const FlashKernel* flash_kernel_avx512_bf16() {
  return nullptr;
}
}  // namespace airlock

#endif
