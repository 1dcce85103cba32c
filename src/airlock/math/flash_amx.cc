#include "airlock/math/flash_kernel.h"

#if defined(__x86_64__) && defined(__linux__)
#include "airlock/core/isa.h"
#include "airlock/math/flash_avx512.inc"

#define AIRLOCK_AMX \
  __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")))

namespace airlock {
namespace {

constexpr std::int64_t kItemRows = 1024;
constexpr std::int64_t kRowBytes = kRows * 4;  // of scores, weights, queries and output

/// What LDTILECFG reads (Intel SDM, "Tile configuration"): all eight tiles 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

/// Tile loads and stores are opaque to the compiler: it must have memory up to date around them.
inline void settle_memory() {
  asm volatile("" ::: "memory");
}

AIRLOCK_AMX void begin() {
  const TileConfig config;
  settle_memory();
  _tile_loadconfig(&config);
}

AIRLOCK_AMX void end() {
  _tile_release();
}

/// out: [output rows, key_block] bf16: values transposed, whole groups of 32 keys.
AIRLOCK_AMX void pack_values(const void* rows, std::int64_t stride_bytes, std::int64_t count,
                             std::int64_t head_dim, void* out) {
  auto* to = static_cast<std::uint16_t*>(out);
  for (std::int64_t j = 0; j < count; j += 32) {
    for (std::int64_t d = 0; d < output_rows_of(head_dim); d += 16) {
      __m512i x[16];
#pragma GCC unroll 16
      for (std::int64_t i = 0; i < 16; ++i) {
        x[i] = value_pairs(static_cast<const std::byte*>(rows), stride_bytes, j + 2 * i, count, d,
                           head_dim);
      }
      transpose(x);
#pragma GCC unroll 16
      for (std::int64_t i = 0; i < 16; ++i) {
        _mm512_store_si512(to + (d + i) * kKeyBlock + j, x[i]);
      }
    }
  }
}

/// c0 c1 / c2 c3 += a0 / a1 times b0 b1: tiles 0-3, 4-5 and 6-7. Without kWide only the left half
/// of the rows, without kTall only the upper half of c and a.
template <bool kTall, bool kWide>
AIRLOCK_AMX inline void multiply(const std::byte* a, std::int64_t a_stride, const std::byte* b) {
  _tile_loadd(4, a, a_stride);
  _tile_loadd(6, b, kRowBytes);
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (kTall) {
    _tile_loadd(5, a + 16 * a_stride, a_stride);
    _tile_dpbf16ps(2, 5, 6);
  }
  if constexpr (kWide) {
    _tile_loadd(7, b + 64, kRowBytes);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTall) _tile_dpbf16ps(3, 5, 7);
  }
}

template <bool kTall, bool kWide>
AIRLOCK_AMX inline void store(float* c) {
  _tile_stored(0, c, kRowBytes);
  if constexpr (kWide) _tile_stored(1, c + 16, kRowBytes);
  if constexpr (kTall) _tile_stored(2, c + 16 * kRows, kRowBytes);
  if constexpr (kTall && kWide) _tile_stored(3, c + 16 * kRows + 16, kRowBytes);
}

/// scores[j][row] = k[j] . q[row] for keys first to first + 31.
template <bool kWide>
AIRLOCK_AMX inline void score(const FlashPanel& panel, float* scores, std::int64_t first) {
  const auto* queries = static_cast<const std::byte*>(panel.queries);
  const std::int64_t key_stride = depth_of(panel.head_dim) * 2;
  const std::byte* keys = static_cast<const std::byte*>(panel.keys) + first * key_stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t bytes = 0; bytes < key_stride; bytes += 64) {
    multiply<true, kWide>(keys + bytes, key_stride, queries + bytes / 4 * kRowBytes);
  }
  store<true, kWide>(scores + first * kRows);
}

/// output[d][row] += sum over keys of v[key][d] * weight[key][row], from row d on.
template <bool kTall, bool kWide>
AIRLOCK_AMX inline void mix_rows(const FlashPanel& panel, const std::uint32_t* weights,
                                 std::int64_t d) {
  float* output = panel.output + d * kRows;
  const std::byte* values = static_cast<const std::byte*>(panel.values) + d * kKeyBlock * 2;
  _tile_loadd(0, output, kRowBytes);
  if constexpr (kWide) _tile_loadd(1, output + 16, kRowBytes);
  if constexpr (kTall) _tile_loadd(2, output + 16 * kRows, kRowBytes);
  if constexpr (kTall && kWide) _tile_loadd(3, output + 16 * kRows + 16, kRowBytes);
  for (std::int64_t j = 0; j < panel.key_count; j += 32) {
    multiply<kTall, kWide>(values + j * 2, kKeyBlock * 2,
                           reinterpret_cast<const std::byte*>(weights + j / 2 * kRows));
  }
  store<kTall, kWide>(output);
}

template <bool kWide>
AIRLOCK_AMX inline void mix(const FlashPanel& panel, const std::uint32_t* weights, std::int64_t d) {
  if (d + 32 <= output_rows_of(panel.head_dim)) {
    mix_rows<true, kWide>(panel, weights, d);
  } else {
    mix_rows<false, kWide>(panel, weights, d);
  }
}

/// Scores and weights of two panels under way; see run_panels.
struct alignas(64) Scratch {
  float scores[2][kKeyBlock * kRows];
  std::uint32_t weights[2][kKeyBlock / 2 * kRows];
};
std::int64_t scratch_bytes(std::int64_t) {
  return sizeof(Scratch);
}

template <bool kWide>
AIRLOCK_AMX inline void prepare(const FlashPanel& panel, float* scores) {
  settle_memory();
  if (panel.limits != nullptr) mask_scores(panel, scores);
  raise_max(panel, scores, 0);
  if constexpr (kWide) raise_max(panel, scores, 16);
}

/// Three stages a panel: scores (tiles), weights (vectors), output (tiles). While the vectors weigh
/// panel p, the tile unit scores p + 1 and mixes p - 1: tile and vector instructions alternate in
/// short runs, so that a core's instruction window holds both.
template <bool kWide>
AIRLOCK_AMX void run_panels(const FlashPanel* panels, std::int64_t count) {
  auto& scratch = *static_cast<Scratch*>(panels->scratch);
  constexpr std::int64_t kHalves = kWide ? 2 : 1;
  const std::int64_t output_rows = output_rows_of(panels->head_dim);
  settle_memory();
  for (std::int64_t j = 0; j < panels->key_count; j += 32) {
    score<kWide>(*panels, scratch.scores[0], j);
  }
  prepare<kWide>(*panels, scratch.scores[0]);
  for (std::int64_t p = 0; p <= count; ++p) {
    const std::int64_t to_weigh = p < count ? panels[p].key_count : 0;
    const std::int64_t to_score = p + 1 < count ? panels[p + 1].key_count : 0;
    const std::int64_t to_mix = p > 0 ? output_rows : 0;
    for (std::int64_t done = 0; done < std::max({to_weigh, to_score, to_mix}); done += 32) {
      if (done < to_score) score<kWide>(panels[p + 1], scratch.scores[(p + 1) % 2], done);
      for (std::int64_t half = 0; half < kHalves; ++half) {
        if (done < to_weigh) {
          weigh(panels[p], scratch.scores[p % 2], scratch.weights[p % 2], half * 16, done,
                std::min(done + 32, to_weigh), done + 32);
        }
        if (half == 0 && done < to_mix) {
          mix<kWide>(panels[p - 1], scratch.weights[(p - 1) % 2], done);
        }
      }
    }
    if (p + 1 < count) {
      prepare<kWide>(panels[p + 1], scratch.scores[(p + 1) % 2]);
    }
    settle_memory();
  }
}

void run(const FlashPanel* panels, std::int64_t count) {
  if (count == 1 && panels->rows <= 16) return run_panels<false>(panels, count);
  if (count > 0) run_panels<true>(panels, count);
}

}  // namespace

const FlashKernel* flash_kernel_amx() {
  static const FlashKernel kernel = {.name = "amx",
                                     .panel_rows = kRows,
                                     .key_block = kKeyBlock,
                                     .item_rows = kItemRows,
                                     .query_bytes = query_bytes,
                                     .key_bytes = key_bytes,
                                     .value_bytes = value_bytes,
                                     .scratch_bytes = scratch_bytes,
                                     .output_rows = output_rows_of,
                                     .begin = begin,
                                     .end = end,
                                     .pack_queries = pack_queries,
                                     .pack_keys = pack_keys,
                                     .pack_values = pack_values,
                                     .run = run,
                                     .finish = finish};
  return isa() >= Isa::kAmx ? &kernel : nullptr;
}

}  // namespace airlock

#else

namespace airlock {
const FlashKernel* flash_kernel_amx() {
  return nullptr;
}
}  // namespace airlock

#endif
