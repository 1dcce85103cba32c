// Packs one byte plane at a time, by lz4 or by zstd, and reads what a peer claims to be one.
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
  kLz4 = 1,       ///< an lz4 block: for bytes that came before
  kZstd = 2,      ///< a zstd frame: for bytes of unequal frequency, by its Huffman coder
  kRepeated = 3,  ///< one byte, which the whole plane repeats
};

/// A plane as packed: so many bytes, to be read by that method.
struct PackedPlane {
  PlaneMethod method = PlaneMethod::kStored;
  std::size_t bytes = 0;
};

/// Compressors of one thread and their memory, all of it taken at construction. Not thread-safe.
class PlaneCodec {
 public:
  /// Bytes of the longest plane: one block of zstd, and just what lz4's fast table of 16-bit
  /// positions reaches.
  static constexpr std::size_t kMaxPlane = 65536;
  static constexpr std::size_t kMaxSample = 4096;

  PlaneCodec();

  /// The method that suits the plane that `sample` (1 to kMaxSample bytes) was taken from; kZstd
  /// only if `zstd` allows it. Takes about 1 ns a byte.
  [[nodiscard]] PlaneMethod judge(bool zstd, std::span<const std::byte> sample) noexcept;

  /// Packs `plane` (1 to kMaxPlane bytes) by `method` into `out`, which has room for as many bytes;
  /// where the method gains nothing the plane is stored, and by kLz4 where it was to be kRepeated
  /// and is not.
  [[nodiscard]] PackedPlane encode(PlaneMethod method, std::span<const std::byte> plane,
                                   std::byte* out) noexcept;

  /// Reads into `plane` what a peer packed by `method`, not kStored, into one byte if kRepeated,
  /// else into fewer than the plane has. Returns nullptr, or what is wrong with the bytes: then the
  /// plane's content is undefined. Memory is bounded, work linear in the two lengths, whatever the
  /// bytes say.
  [[nodiscard]] const char* decode(PlaneMethod method, std::span<const std::byte> packed,
                                   std::span<std::byte> plane) noexcept;

 private:
  // Both return 0 if the plane does not become shorter.
  std::size_t pack_lz4(std::span<const std::byte> plane, std::byte* out) noexcept;
  std::size_t pack_zstd(std::span<const std::byte> plane, std::byte* out) noexcept;

  Buffer lz4_state_;
  Buffer trial_;
  Buffer compressor_memory_;
  Buffer decompressor_memory_;
  ZSTD_CCtx_s* compressor_;    // within compressor_memory_
  ZSTD_DCtx_s* decompressor_;  // within decompressor_memory_
};

}  // namespace airlock
