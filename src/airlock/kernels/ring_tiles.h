// The ring's products on tiles of AMX, on whatever holds eight of them: the processor, or memory in
// tests, which follow each tile on any machine. Internal to kernels/.
//
// Tiles is a class with
//   void configure(std::int64_t rows);  tiles 0 to 5 have `rows` rows of 64 bytes, 6 and 7 have 16
//   template <int kTile> void zero() / load(const void*, stride) / store(void*, stride)
//   template <int kC, int kA, int kB> void dot();  c += u8 a times s8 b: TDPBUSD (Intel SDM), where
//     row r of c gets, in its 32-bit column n, the sums of a[r][4 q + j] b[q][4 n + j]
//   void settle();  memory is as loads and stores left it
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "airlock/kernels/ring_kernel.h"

#if defined(__x86_64__) && defined(__linux__)
// Instructions that a compiler never chooses by itself: such a function runs everywhere.
#define AIRLOCK_RING_TILES __attribute__((target("amx-tile,amx-int8")))
#else
#define AIRLOCK_RING_TILES
#endif

namespace airlock::ring {

inline constexpr std::int64_t kTileRows = 16;
/// Sums of 16 rows and two panels, digit by digit.
struct alignas(64) TileSums {
  std::int32_t of[4][2][kTileRows][kRingPanel];
};

/// Tiles 0 1 / 2 3 = digits `first` and first + 1 (tiles 4, 5) times one or two panels (6, 7).
template <bool kWide, class Tiles>
AIRLOCK_RING_TILES inline void multiply_digits(Tiles& tiles, const RingBlock& block,
                                               const std::byte* x, const std::int8_t* w, int first,
                                               TileSums& sums) {
  const std::int64_t unit_bytes = 64 * std::int64_t{block.digits};
  x += 64 * std::int64_t{first};
  tiles.template zero<0>();
  tiles.template zero<2>();
  if constexpr (kWide) {
    tiles.template zero<1>();
    tiles.template zero<3>();
  }
  for (std::int64_t k = 0; k < block.terms; k += kRingUnit, x += unit_bytes) {
    const std::int8_t* panel = w + k * kRingPanel;
    tiles.template load<4>(x, block.x_stride);
    tiles.template load<6>(panel, 64);
    tiles.template dot<0, 4, 6>();
    tiles.template load<5>(x + 64, block.x_stride);
    tiles.template dot<2, 5, 6>();
    if constexpr (kWide) {
      tiles.template load<7>(panel + block.panel_stride, 64);
      tiles.template dot<1, 4, 7>();
      tiles.template dot<3, 5, 7>();
    }
  }
  tiles.template store<0>(sums.of[first][0], 64);
  tiles.template store<2>(sums.of[first + 1][0], 64);
  if constexpr (kWide) {
    tiles.template store<1>(sums.of[first][1], 64);
    tiles.template store<3>(sums.of[first + 1][1], 64);
  }
}

/// RingKernel::multiply. `add(sums, digits, rows, panels, v, v_stride)` puts digits in place.
template <class Tiles, class Add>
AIRLOCK_RING_TILES void multiply_tiles(Tiles& tiles, const RingBlock& block, const Add& add) {
  TileSums sums;
  for (std::int64_t row = 0; row < block.rows; row += kTileRows) {
    const std::int64_t rows = std::min(kTileRows, block.rows - row);
    tiles.configure(rows);
    const std::byte* x = block.x + row * block.x_stride;
    for (std::int64_t p = 0; p < block.panels; p += 2) {
      const std::int64_t panels = std::min<std::int64_t>(2, block.panels - p);
      const std::int8_t* w = block.w + p * block.panel_stride;
      tiles.settle();
      for (int digit = 0; digit < block.digits; digit += 2) {
        if (panels == 2) {
          multiply_digits<true>(tiles, block, x, w, digit, sums);
        } else {
          multiply_digits<false>(tiles, block, x, w, digit, sums);
        }
      }
      tiles.settle();
      add(sums, block.digits, rows, panels, block.v + row * block.v_stride + p * kRingPanel,
          block.v_stride);
    }
  }
}

}  // namespace airlock::ring
