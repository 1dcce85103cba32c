// Where the slots of a program lie while a batch is under way, and in which dtype.
#pragma once

#include <array>
#include <cstddef>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/tensor.h"
#include "airlock/model/config.h"
#include "airlock/ops/endpoint.h"
#include "airlock/plan/program.h"

namespace airlock {

/// For each slot of a program the dtype it is kept in, and whether it lies in the link's transfer
/// memory. Not thread-safe.
class SlotLayout {
 public:
  /// `wire`: the dtype in which float tensors travel. Calls end at `endpoint`.
  SlotLayout(const Program& program, DType wire, const Endpoint& endpoint);

  /// What most of the program's crossing tensors need no conversion in: bf16, f16, or f32.
  [[nodiscard]] DType native() const noexcept { return native_; }
  /// bf16 or f32: what copies of heads, made to be sent, are kept in.
  [[nodiscard]] DType copied() const noexcept {
    return native_ == DType::kBF16 ? DType::kBF16 : DType::kF32;
  }
  /// The slot whose memory this one shares: SiLU(gate) * up replaces gate, one tensor of [n, ffn]
  /// less in the runner.
  [[nodiscard]] static Slot storage(Slot slot) noexcept {
    return slot == Slot::kActivated ? Slot::kGate : slot;
  }
  [[nodiscard]] DType dtype(Slot slot) const noexcept;
  [[nodiscard]] const BufferPool& pool(Slot slot) const noexcept;
  /// Memory of the runner's own.
  [[nodiscard]] const BufferPool& own() const noexcept { return own_; }

 private:
  DType wire_;
  DType native_;
  BufferPool own_;
  BufferPool transfer_;  ///< for slots that hold nothing but what crosses, as it travels
  std::array<bool, kSlotCount> crossing_{};
};

/// The slots of one batch. Reused for batch after batch; keeps what was largest. Not thread-safe.
class SlotMemory {
 public:
  /// The slot as a step sees it that runs for `pass` of `batch`, or for all (-1): of a slot that
  /// holds rows of the whole batch, a pass sees its own. Content stays if there was room already.
  Tensor get(Slot slot, const SlotLayout& layout, const ModelConfig& config, const Batch& batch,
             int pass);

 private:
  std::array<Buffer, kSlotCount> buffers_;
};

}  // namespace airlock
