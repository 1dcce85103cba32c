// Tensors made shorter for slow links, without loss: byte planes, each packed by zstd if it
// shrinks. docs/protocol.md ("Compressed tensors") is the text of this file for another client.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "airlock/core/tensor.h"
#include "airlock/wire/compression.h"

namespace airlock {

/// Whether tensors of that dtype may be packed: floats and int8, never i64 (token ids) nor what
/// crosses for the ring. Others travel as they are, whatever compression a call asks for.
bool is_compressible(DType dtype) noexcept;

/// Most bytes that a packed tensor of this spec takes: its own and 4 for each plane of a block,
/// less than 1/16000 more for a large one. Throws Error(kInvalidArgument) as TensorSpec::bytes.
std::size_t encoded_bound(const TensorSpec& spec);

/// Packs and unpacks tensors on all threads of parallel_for. Keeps its memory (some 1.1 MB for each
/// thread) from one use to the next: after the first it leaves the heap alone, unless
/// set_threads has raised the number of threads. One caller at a time: give each direction of a
/// conversation its own. Tensors need no alignment.
class TensorCodec {
 public:
  TensorCodec();
  ~TensorCodec();
  TensorCodec(const TensorCodec&) = delete;
  TensorCodec& operator=(const TensorCodec&) = delete;

  /// Packs `raw` into `out`, of at least encoded_bound(raw.spec) bytes that must not overlap it;
  /// returns how many were used. kNone copies. The bytes do not depend on the number of threads.
  /// Throws Error(kInvalidArgument) if `out` is too short or, but for kNone, the dtype is not
  /// compressible, Error(kResourceExhausted) if there is no memory to keep, as decode does.
  std::size_t encode(Compression compression, ConstTensor raw, std::span<std::byte> out);

  /// Unpacks what a peer packed into `raw`, whose spec the caller has checked and whose memory it
  /// has: few bytes may well claim much of it. Throws Error(kProtocol) that names the plane unless
  /// `encoded` is, to the last byte, a sound encoding of that spec; `raw`'s content is undefined
  /// then. Takes no more memory than encode does, and time linear in both lengths.
  void decode(Compression compression, std::span<const std::byte> encoded, Tensor raw);

  /// Gives the kept memory back.
  void forget() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace airlock
