// A pad's rows as the tile kernels want them, part by part: where they are stored, or made on the
// way.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/shield/pad.h"

namespace airlock {

/// Columns of a tile that is made from lattice secrets: measured, half of it is a fifth slower.
inline constexpr std::int64_t kTileColumns = 128;
/// Secrets whose tiles are made together: what streams from memory is read once for all of them.
inline constexpr std::size_t kSecretsTogether = 4;

/// Rows of a call and what masks them; null without a pad.
struct TileRows {
  std::int64_t first = 0;
  std::int64_t rows = 0;
  const std::uint32_t* pad = nullptr;
  std::int64_t pad_stride = 0;
};

/// Which part of a pad: what meets the call's input (-1), or becomes of it in one of its matrices'
/// outputs.
struct PadPart {
  int matrix = -1;
};

/// Room for tiles of `pad`'s secrets, [secrets together][degree, kTileColumns]; none for stored
/// rows.
void make_tile_room(const Pad& pad, const BufferPool& pool, Buffer& tiles);

/// Makes the tiles of those of `segments` (at most kSecretsTogether) that are not stored, of
/// columns [column, column + columns), one behind the other in `tiles`. `column` is a multiple of
/// kTileColumns, `columns` at most that. Thread-safe; allocates nothing.
void make_tiles(std::span<const PadSegment> segments, PadPart part, std::int64_t column,
                std::int64_t columns, std::uint32_t* tiles);

/// Calls body(TileRows) for all `rows` of a call, piece by piece, and made(segments, tiles) around
/// make_tiles(), which it is to call.
template <typename Make, typename Body>
void for_each_piece(const Pad& pad, std::int64_t rows, PadPart part, std::int64_t column,
                    std::uint32_t* tiles, const Make& make, const Body& body) {
  const std::span<const PadSegment> segments = pad.segments();
  if (segments.empty()) return body(TileRows{0, rows, nullptr, 0});
  std::int64_t row = 0;
  for (std::size_t begin = 0; begin < segments.size(); begin += kSecretsTogether) {
    const auto some = segments.subspan(begin, std::min(kSecretsTogether, segments.size() - begin));
    make(some);
    const std::uint32_t* tile = tiles;
    for (const PadSegment& segment : some) {
      if (segment.secret != nullptr) {
        body(TileRows{row, segment.rows, tile, kTileColumns});
        tile += segment.table->parameters().degree * kTileColumns;
      } else if (part.matrix < 0) {
        body(TileRows{row, segment.rows, segment.input + column, segment.input_stride});
      } else {
        body(TileRows{row, segment.rows, segment.output[part.matrix] + column,
                      segment.output_stride[part.matrix]});
      }
      row += segment.rows;
    }
  }
}

}  // namespace airlock
