// Packs one byte plane at a time, by zstd, and reads what a peer claims to be one.
// Knows nothing of tensors; wire/codec.h does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "airlock/core/buffer_pool.h"

// As zstd.h declares them.
struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace airlock {

/// How one plane is packed. The values travel on the wire, in two bits: never renumber.
enum class PlaneMethod : std::uint8_t {
  kStored = 0,
  // 1 was an lz4 block.
  kZstd = 2,      ///< a zstd frame
  kRepeated = 3,  ///< one byte, which the whole plane repeats
};

/// What there is to gain from a plane, and how hard zstd looks for bytes that came before.
enum class PlaneSearch : std::uint8_t {
  kNone,    ///< nothing: store it
  kCoarse,  ///< unequal frequencies: leave it to the Huffman coder, look for long matches only
  kFine,    ///< repetitions: masks, heads sent several times
  kSame,    ///< one byte
};

/// A plane as packed: so many bytes, to be read by that method.
struct PackedPlane {
  PlaneMethod method = PlaneMethod::kStored;
  std::size_t bytes = 0;
};

/// Compressors of one thread and their memory, all of it taken at construction. Not thread-safe.
class PlaneCodec {
 public:
  /// Bytes of the longest plane: one block of zstd.
  static constexpr std::size_t kMaxPlane = 65536;
  static constexpr std::size_t kMaxSample = 4096;

  PlaneCodec();

  /// What suits the plane that `sample` (1 to kMaxSample bytes) was taken from, by trying. Takes
  /// some 1 to 4 ns a byte.
  [[nodiscard]] PlaneSearch judge(std::span<const std::byte> sample) noexcept;

  /// Packs `plane` (1 to kMaxPlane bytes) into `out`, which has room for as many bytes. Where that
  /// gains nothing the plane is stored; one that was to be kSame and is not is searched as by
  /// kFine.
  [[nodiscard]] PackedPlane encode(PlaneSearch search, std::span<const std::byte> plane,
                                   std::byte* out) noexcept;

  /// Reads into `plane` what a peer packed by `method`, not kStored, into one byte if kRepeated,
  /// else into fewer than the plane has. Returns nullptr, or what is wrong with the bytes: then the
  /// plane's content is undefined. Memory is bounded, work linear in the two lengths, whatever the
  /// bytes say.
  [[nodiscard]] const char* decode(PlaneMethod method, std::span<const std::byte> packed,
                                   std::span<std::byte> plane) noexcept;

 private:
  /// Returns 0 if the plane does not become shorter.
  std::size_t pack(PlaneSearch search, std::span<const std::byte> plane, std::byte* out) noexcept;

  Buffer trial_;
  Buffer compressor_memory_;
  Buffer decompressor_memory_;
  ZSTD_CCtx_s* compressor_;    // within compressor_memory_
  ZSTD_DCtx_s* decompressor_;  // within decompressor_memory_
};

}  // namespace airlock
