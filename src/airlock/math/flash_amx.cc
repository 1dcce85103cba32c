#include "airlock/math/flash_kernel.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#include "airlock/math/flash_avx512.inc"

#define AIRLOCK_AMX \
  __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")))

namespace airlock {
namespace {

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

/// scores[j][row] = k[j] . q[row] for whole groups of 32 keys.
template <bool kWide>
AIRLOCK_AMX void score(const FlashPanel& panel, float* scores) {
  const auto* queries = static_cast<const std::byte*>(panel.queries);
  const std::int64_t key_stride = depth_of(panel.head_dim) * 2;
  for (std::int64_t j = 0; j < panel.key_count; j += 32) {
    const std::byte* keys = static_cast<const std::byte*>(panel.keys) + j * key_stride;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (std::int64_t bytes = 0; bytes < key_stride; bytes += 64) {
      multiply<true, kWide>(keys + bytes, key_stride, queries + bytes / 4 * kRowBytes);
    }
    store<true, kWide>(scores + j * kRows);
  }
}

/// output[d][row] += sum over keys of v[key][d] * weight[key][row], from row d on.
template <bool kTall, bool kWide>
AIRLOCK_AMX void mix(const FlashPanel& panel, const std::byte* weights, std::int64_t d) {
  float* output = panel.output + d * kRows;
  const std::byte* values = static_cast<const std::byte*>(panel.values) + d * kKeyBlock * 2;
  _tile_loadd(0, output, kRowBytes);
  if constexpr (kWide) _tile_loadd(1, output + 16, kRowBytes);
  if constexpr (kTall) _tile_loadd(2, output + 16 * kRows, kRowBytes);
  if constexpr (kTall && kWide) _tile_loadd(3, output + 16 * kRows + 16, kRowBytes);
  for (std::int64_t j = 0; j < panel.key_count; j += 32) {
    multiply<kTall, kWide>(values + j * 2, kKeyBlock * 2, weights + j / 2 * kRowBytes);
  }
  store<kTall, kWide>(output);
}

template <bool kWide>
AIRLOCK_AMX void run_width(const FlashPanel& panel) {
  auto* scores = static_cast<float*>(panel.scratch);
  auto* weights = reinterpret_cast<std::uint32_t*>(scores + kKeyBlock * kRows);
  settle_memory();
  score<kWide>(panel, scores);
  settle_memory();
  if (panel.limits != nullptr) mask_scores(panel, scores);
  const std::int64_t padded = round_up(panel.key_count, 32);
  for (std::int64_t r = 0; r < (kWide ? kRows : 16); r += 16) {
    shrink_output(panel, r, weigh(panel, scores, weights, r, padded));
  }
  settle_memory();
  const auto* raw = reinterpret_cast<const std::byte*>(weights);
  const std::int64_t rows = output_rows_of(panel.head_dim);
  for (std::int64_t d = 0; d + 32 <= rows; d += 32) mix<true, kWide>(panel, raw, d);
  if (rows % 32 != 0) mix<false, kWide>(panel, raw, rows - 16);
  settle_memory();
}

void run(const FlashPanel& panel) {
  if (panel.rows <= 16) return run_width<false>(panel);
  run_width<true>(panel);
}

/// Tiles are 8 KiB of state that Linux saves only for processes that asked.
bool permitted() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

const FlashKernel* flash_kernel_amx() {
  static const FlashKernel kernel = {"amx",       kRows,       kKeyBlock,     query_bytes,
                                     key_bytes,   value_bytes, scratch_bytes, output_rows_of,
                                     begin,       end,         pack_queries,  pack_keys,
                                     pack_values, run,         finish};
  static const bool usable = has_avx512_bf16() && __builtin_cpu_supports("amx-tile") &&
                             __builtin_cpu_supports("amx-bf16") && permitted();
  return usable ? &kernel : nullptr;
}

}  // namespace airlock

#else

namespace airlock {
const FlashKernel* flash_kernel_amx() {
  return nullptr;
}
}  // namespace airlock

#endif
