// The ring's products with AMX: bytes and TDPBUSD on tiles.
#include "airlock/kernels/ring_kernel.h"

#if defined(__x86_64__) && defined(__linux__)
#include "airlock/core/isa.h"
#include "airlock/kernels/ring_avx512.inc"
#include "airlock/kernels/ring_tiles.h"

namespace airlock {
namespace {

/// Enough terms that putting digits in place takes a twentieth of their products' time; the weights
/// of a task's panels take 768 KiB then, of the 2 MiB second-level cache that AMX comes with.
constexpr std::int64_t kAmxTerms = 4096;

/// What LDTILECFG reads (Intel SDM, "Tile configuration").
struct alignas(64) RingTileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(RingTileConfig) == 64);

/// The intrinsics are macros that want a tile's number as a literal.
#define AIRLOCK_WITH_TILE(tile, what, ...)         \
  if constexpr ((tile) == 0) what(0, __VA_ARGS__); \
  if constexpr ((tile) == 1) what(1, __VA_ARGS__); \
  if constexpr ((tile) == 2) what(2, __VA_ARGS__); \
  if constexpr ((tile) == 3) what(3, __VA_ARGS__); \
  if constexpr ((tile) == 4) what(4, __VA_ARGS__); \
  if constexpr ((tile) == 5) what(5, __VA_ARGS__); \
  if constexpr ((tile) == 6) what(6, __VA_ARGS__); \
  if constexpr ((tile) == 7) what(7, __VA_ARGS__)

/// The processor's tiles, of this thread.
class AmxTiles {
 public:
  AIRLOCK_RING_TILES void configure(std::int64_t rows) {
    if (rows == rows_) return;
    RingTileConfig config;
    for (int tile = 0; tile < 6; ++tile) config.rows[tile] = static_cast<std::uint8_t>(rows);
    settle();
    _tile_loadconfig(&config);
    rows_ = rows;
  }
  AIRLOCK_RING_TILES void release() { _tile_release(); }

  template <int kTile>
  AIRLOCK_RING_TILES void zero() {
    static_assert(kTile < 4);
    if constexpr (kTile == 0) _tile_zero(0);
    if constexpr (kTile == 1) _tile_zero(1);
    if constexpr (kTile == 2) _tile_zero(2);
    if constexpr (kTile == 3) _tile_zero(3);
  }
  template <int kTile>
  AIRLOCK_RING_TILES void load(const void* from, std::int64_t stride) {
    AIRLOCK_WITH_TILE(kTile, _tile_loadd, from, stride);
  }
  template <int kTile>
  AIRLOCK_RING_TILES void store(void* to, std::int64_t stride) {
    AIRLOCK_WITH_TILE(kTile, _tile_stored, to, stride);
  }
  template <int kC, int kA, int kB>
  AIRLOCK_RING_TILES void dot() {
    static_assert(kA == 4 + kC / 2 && kB == 6 + kC % 2);
    if constexpr (kC == 0) _tile_dpbusd(0, 4, 6);
    if constexpr (kC == 1) _tile_dpbusd(1, 4, 7);
    if constexpr (kC == 2) _tile_dpbusd(2, 5, 6);
    if constexpr (kC == 3) _tile_dpbusd(3, 5, 7);
  }
  /// Tile loads and stores are opaque to the compiler.
  static void settle() { asm volatile("" ::: "memory"); }

 private:
  std::int64_t rows_ = 0;
};

AIRLOCK_RING_AVX512 void add_tiles(const ring::TileSums& sums, int digits, std::int64_t rows,
                                   std::int64_t panels, std::int64_t* v, std::int64_t v_stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t p = 0; p < panels; ++p) {
      __m512i of[4];
      for (int d = 0; d < digits; ++d) of[d] = _mm512_load_si512(sums.of[d][p][r]);
      if (digits == 4) {
        add_bytes<4>(of, v + r * v_stride + p * kRingPanel);
      } else {
        add_bytes<2>(of, v + r * v_stride + p * kRingPanel);
      }
    }
  }
}

AIRLOCK_RING_TILES void multiply_amx(const RingBlock& block) {
  AmxTiles tiles;
  ring::multiply_tiles(tiles, block, add_tiles);
  tiles.release();
}

}  // namespace

const RingKernel* ring_kernel_amx_int8() {
  static const RingKernel kernel = {.name = "amx_int8",
                                    .form = RingDigits::kBytes,
                                    .group = 4,
                                    .block_terms = kAmxTerms,
                                    .tile_panels = 2,
                                    .split_ring = split_ring_avx512,
                                    .split_i16 = split_i16_avx512,
                                    .multiply = multiply_amx,
                                    .reduce_ring = reduce_ring_avx512,
                                    .reduce_ring16 = reduce_ring16_avx512};
  return has_amx_int8() ? &kernel : nullptr;
}

}  // namespace airlock

#else

namespace airlock {
const RingKernel* ring_kernel_amx_int8() {
  return nullptr;
}
}  // namespace airlock

#endif
