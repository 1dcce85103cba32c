// The tensors of one direction of a request: where they lie in the worker, and how they travel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/wire/codec.h"
#include "airlock/wire/message.h"
#include "airlock/worker/shared_segments.h"

namespace airlock {

/// Tensors in pooled memory, or the runner's in shared memory; reused without allocating. Not
/// thread-safe.
class HostTensors {
 public:
  /// Finds or makes memory for each, and for what arrives compressed. Throws what
  /// SharedSegments::find and BufferPool throw.
  void place(const TensorSpecs& specs, const std::array<Place, kMaxTensors>& places,
             const Encodings& encodings, const SharedSegments& segments, const BufferPool& pool);
  /// Decompresses what arrived so. Throws Error(kProtocol) as TensorCodec::decode does.
  void decode(TensorCodec& codec);
  /// Compresses those that travel behind their message, where that makes them smaller and there is
  /// memory for it.
  void encode(TensorCodec& codec, Compression compression, const BufferPool& pool);
  /// Gives the memory back.
  void release() noexcept;

  [[nodiscard]] std::span<const Tensor> tensors() const noexcept {
    return {tensors_.data(), count_};
  }
  /// Those that travel behind their message, in order.
  [[nodiscard]] std::span<const std::span<std::byte>> inline_parts() const noexcept {
    return {parts_.data(), part_count_};
  }
  [[nodiscard]] const Encodings& encodings() const noexcept { return encodings_; }

 private:
  std::array<Buffer, kMaxTensors> buffers_;
  std::array<Buffer, kMaxTensors> encoded_;  ///< what travels of those that are compressed
  std::array<Tensor, kMaxTensors> tensors_;
  Encodings encodings_;
  std::array<std::span<std::byte>, kMaxTensors> parts_;
  std::array<std::size_t, kMaxTensors> part_of_{};  ///< parts_' index of each that is behind
  std::size_t count_ = 0;
  std::size_t part_count_ = 0;
};

}  // namespace airlock
