// Packs and unpacks one block of a tensor: split in byte planes, each packed as suits it. Internal
// to wire/codec.h, which cuts tensors in blocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "airlock/core/buffer_pool.h"
#include "airlock/math/byte_planes.h"
#include "airlock/wire/plane_codec.h"

namespace airlock {

/// A peer's plane that cannot be read.
struct BlockFault {
  const char* what = nullptr;  ///< nullptr: there is none
  std::size_t plane = 0;
  std::size_t bytes = 0;  ///< as packed
};

/// What one thread needs to pack and unpack blocks, all of its memory taken at construction (some
/// 1.1 MB). A block is 1 to kElements elements of 1, 2 or 4 bytes; a table beside it has an entry
/// for each byte plane. Not thread-safe. Nothing but the constructor throws.
class BlockCodec {
 public:
  /// A thread's planes (256 KiB of f32) and tables stay in its L2 cache; longer planes compress no
  /// better.
  static constexpr std::int64_t kElements = PlaneCodec::kMaxPlane;
  static constexpr std::size_t kEntryBytes = 4;

  BlockCodec();

  /// Packs `count` elements of `planes` bytes into `out`, which has room for as many bytes, and
  /// writes `planes` entries. Returns the bytes used.
  std::size_t encode(const std::byte* elements, std::int64_t count, std::size_t planes,
                     std::byte* entries, std::byte* out) noexcept;

  /// An entry of the table.
  static PackedPlane entry(const std::byte* at) noexcept;

  /// Bytes that a peer's packed block takes by its entries, or 0 if no block of `count` elements
  /// can have such entries.
  static std::size_t packed_bytes(const std::byte* entries, std::int64_t count,
                                  std::size_t planes) noexcept;

  /// Unpacks a peer's block, whose packed_bytes are not 0 and lie at `packed`, into `elements`. If
  /// it returns a fault their content is undefined.
  BlockFault decode(const std::byte* entries, const std::byte* packed, std::int64_t count,
                    std::size_t planes, std::byte* elements) noexcept;

 private:
  using Searches = std::array<PlaneSearch, kMaxBytePlanes>;
  Searches judge(const std::byte* elements, std::int64_t count, std::size_t planes) noexcept;

  PlaneCodec plane_codec_;
  Buffer scratch_;  // kMaxBytePlanes planes
  Buffer sample_;   // as many samples
};

}  // namespace airlock
