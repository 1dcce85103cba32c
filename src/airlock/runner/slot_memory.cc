#include "airlock/runner/slot_memory.h"

namespace airlock {
namespace {

std::size_t index(Slot slot) noexcept {
  return static_cast<std::size_t>(slot);
}

DType native_dtype(const Endpoint& endpoint, DType wire) noexcept {
  const DType dtype = endpoint.native_dtype(wire);
  return dtype == DType::kBF16 || dtype == DType::kF16 ? dtype : DType::kF32;
}

/// Slots filled and read by arithmetic only, whose every value the worker gets to see or makes:
/// these may lie where it can change them meanwhile. The residual stream, ids and logits (which are
/// sorted) may not.
std::array<bool, kSlotCount> crossing_slots(const Program& program) {
  std::array<bool, kSlotCount> crossing{};
  for (const auto* steps : {&program.begin, &program.layer, &program.end}) {
    for (const Step& step : *steps) {
      if (step.kind != StepKind::kRemote) continue;
      for (const Slot slot : step.inputs) crossing[index(slot)] = true;
      for (const Slot slot : step.outputs) crossing[index(slot)] = true;
    }
  }
  for (const Slot slot : {Slot::kIds, Slot::kHidden, Slot::kLogits}) crossing[index(slot)] = false;
  return crossing;
}

}  // namespace

SlotLayout::SlotLayout(const Program& program, DType wire, const Endpoint& endpoint)
    : wire_(wire),
      native_(native_dtype(endpoint, wire)),
      transfer_(endpoint.memory()),
      crossing_(crossing_slots(program)) {}

// Most of what crosses is written and read by kernels that take it as it travels.
DType SlotLayout::dtype(Slot slot) const noexcept {
  switch (storage(slot)) {
    case Slot::kIds:
      return DType::kI64;
    case Slot::kScores:
    case Slot::kGate:
    case Slot::kUp:
      return native_;
    case Slot::kQHeads:
    case Slot::kKHeads:
    case Slot::kVHeads:
    case Slot::kKRows:
    case Slot::kVRows:
      return copied();
    default:
      return DType::kF32;
  }
}

const BufferPool& SlotLayout::pool(Slot slot) const noexcept {
  return crossing_[index(storage(slot))] && dtype(slot) == wire_ ? transfer_ : own_;
}

Tensor SlotMemory::get(Slot slot, const SlotLayout& layout, const ModelConfig& config,
                       const Batch& batch, int pass) {
  slot = SlotLayout::storage(slot);
  TensorSpec spec = slot_spec(slot, config, batch, pass);
  spec.dtype = layout.dtype(slot);
  const bool slice = pass >= 0 && !is_by_sequence(slot);
  auto bytes = static_cast<std::size_t>(spec.bytes());
  std::size_t offset = 0;
  if (slice) {
    const std::size_t row = bytes / static_cast<std::size_t>(batch[pass].tokens);
    for (int i = 0; i < pass; ++i) offset += row * static_cast<std::size_t>(batch[i].tokens);
    bytes = row * static_cast<std::size_t>(batch.tokens());
  }
  Buffer& buffer = buffers_[index(slot)];
  if (buffer.size() < bytes) {
    buffer.release();
    buffer = layout.pool(slot).acquire(bytes);
  }
  return {spec, buffer.data() + offset};
}

}  // namespace airlock
