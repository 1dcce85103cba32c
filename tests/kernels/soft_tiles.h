// Tiles of AMX in memory: what the Intel SDM says of each instruction that ring_tiles.h uses, one
// byte at a time, and the ring's kernel on them.
#pragma once

#include <cstdint>
#include <cstring>

#include "airlock/kernels/ring_kernel.h"
#include "airlock/kernels/ring_split.h"
#include "airlock/kernels/ring_tiles.h"

namespace airlock::testing {

/// Rows past those configured are not touched, as the processor leaves them.
class SoftTiles {
 public:
  void configure(std::int64_t rows) {
    for (int tile = 0; tile < 6; ++tile) rows_[tile] = rows;
  }
  template <int kTile>
  void zero() {
    std::memset(tiles_[kTile], 0, sizeof(tiles_[kTile]));
  }
  template <int kTile>
  void load(const void* from, std::int64_t stride) {
    zero<kTile>();
    for (std::int64_t r = 0; r < rows_[kTile]; ++r) {
      std::memcpy(tiles_[kTile][r], static_cast<const std::byte*>(from) + r * stride, 64);
    }
  }
  template <int kTile>
  void store(void* to, std::int64_t stride) {
    for (std::int64_t r = 0; r < rows_[kTile]; ++r) {
      std::memcpy(static_cast<std::byte*>(to) + r * stride, tiles_[kTile][r], 64);
    }
  }
  template <int kC, int kA, int kB>
  void dot() {
    for (std::int64_t m = 0; m < rows_[kC]; ++m) {
      std::int32_t sums[16];
      std::memcpy(sums, tiles_[kC][m], 64);
      for (int q = 0; q < 16; ++q) {
        for (int n = 0; n < 16; ++n) {
          for (int j = 0; j < 4; ++j) {
            const int product =
                tiles_[kA][m][4 * q + j] * static_cast<std::int8_t>(tiles_[kB][q][4 * n + j]);
            overflowed_ |= __builtin_add_overflow(sums[n], product, &sums[n]);
          }
        }
      }
      std::memcpy(tiles_[kC][m], sums, 64);
    }
  }
  static void settle() {}
  /// True once a sum has left 32 bits.
  [[nodiscard]] bool overflowed() const noexcept { return overflowed_; }

 private:
  std::uint8_t tiles_[8][16][64] = {};
  std::int64_t rows_[8] = {16, 16, 16, 16, 16, 16, 16, 16};
  bool overflowed_ = false;
};

inline void add_soft_tiles(const ring::TileSums& sums, int digits, std::int64_t rows,
                           std::int64_t panels, std::int64_t* v, std::int64_t v_stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t p = 0; p < panels; ++p) {
      for (std::int64_t c = 0; c < kRingPanel; ++c) {
        for (int d = 0; d < digits; ++d) {
          v[r * v_stride + p * kRingPanel + c] +=
              std::int64_t{sums.of[d][p][r][c]} * (std::int64_t{1} << (8 * d));
        }
      }
    }
  }
}

/// The kernel of ring_amx.cc on SoftTiles. `block_terms` as there, or fewer to have several blocks.
inline const RingKernel* soft_tile_kernel() {
  static const RingKernel kernel = {
      .name = "tiles_in_memory",
      .form = RingDigits::kBytes,
      .group = 4,
      .block_terms = 4096,
      .tile_panels = 2,
      .split_ring = [](const std::uint32_t* x, std::int64_t count,
                       std::byte* out) { ring::split_ring_bytes(x, count, out); },
      .split_i16 = [](const std::int16_t* x, std::int64_t count,
                      std::byte* out) { ring::split_i16_bytes(x, count, out); },
      .multiply =
          [](const RingBlock& block) {
            SoftTiles tiles;
            ring::multiply_tiles(tiles, block, add_soft_tiles);
            if (tiles.overflowed()) block.v[0] = INT64_MIN / 4;  // no sum: the test sees it
          },
      .reduce_ring = [](const std::int64_t* v, std::int64_t count,
                        std::uint32_t* out) { ring::reduce_ring(v, count, out); },
      .reduce_ring16 = [](const std::int64_t* v, std::int64_t count,
                          std::uint16_t* out) { ring::reduce_ring16(v, count, out); }};
  return &kernel;
}

}  // namespace airlock::testing
