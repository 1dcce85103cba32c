#include "airlock/shield/pad_tiles.h"

#include "airlock/shield/lattice.h"

namespace airlock {
namespace {
/// Blocks of a table that stay in a core's cache from one secret to the next.
constexpr std::int64_t kBlocksTogether = 2;
}  // namespace

void make_tile_room(const Pad& pad, const BufferPool& pool, Buffer& tiles) {
  std::int64_t degree = 0;
  std::size_t secrets = 0;
  for (const PadSegment& segment : pad.segments()) {
    if (segment.secret == nullptr) continue;
    degree = std::max<std::int64_t>(degree, segment.table->parameters().degree);
    ++secrets;
  }
  const std::size_t bytes = std::min(secrets, kSecretsTogether) *
                            static_cast<std::size_t>(degree * kTileColumns) * sizeof(std::uint32_t);
  if (tiles.size() < bytes) tiles = pool.acquire(bytes);
}

void make_tiles(std::span<const PadSegment> segments, PadPart part, std::int64_t column,
                std::int64_t columns, std::uint32_t* tiles) {
  const std::int64_t first = column / kLatticeBlock;
  const std::int64_t blocks = (columns + kLatticeBlock - 1) / kLatticeBlock;
  for (std::int64_t block = 0; block < blocks; block += kBlocksTogether) {
    std::uint32_t* tile = tiles;
    for (const PadSegment& segment : segments) {
      if (segment.secret == nullptr) continue;
      const PolynomialTable& table = part.matrix < 0 ? *segment.table : *segment.hints[part.matrix];
      const LatticeParameters& parameters = table.parameters();
      lattice_tile(table, first + block, std::min(kBlocksTogether, blocks - block),
                   {segment.secret, static_cast<std::size_t>(parameters.rows())},
                   tile + block * kLatticeBlock, kTileColumns);
      tile += parameters.degree * kTileColumns;
    }
  }
}

}  // namespace airlock
