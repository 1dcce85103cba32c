#include "airlock/worker/cuda/transfers.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <cuda_runtime_api.h>

namespace airlock::cuda {
namespace {

void copy(void* to, const void* from, std::int64_t bytes, cudaMemcpyKind kind,
          const Stream& stream) {
  check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), kind, stream.get()),
        "cudaMemcpyAsync");
}

}  // namespace

Transfers::Transfers(const HostMemory& memory, const Stream& compute)
    : memory_(memory), compute_(compute) {}

void Transfers::in(const std::byte* host, std::byte* device, std::int64_t bytes) {
  if (memory_.direct(host, static_cast<std::size_t>(bytes))) {
    return copy(device, host, bytes, cudaMemcpyHostToDevice, in_);
  }
  for (std::int64_t begin = 0; begin < bytes; begin += kSlotBytes) {
    const std::int64_t piece = std::min(kSlotBytes, bytes - begin);
    const Slot& slot = next_in_slot();
    std::memcpy(slot.memory.data(), host + begin, static_cast<std::size_t>(piece));
    send_slot(slot, device + begin, piece);
  }
}

const Transfers::Slot& Transfers::next_in_slot() {
  const Slot& slot = in_slots_[next_in_++ % in_slots_.size()];
  slot.copied.wait();
  return slot;
}

void Transfers::send_slot(const Slot& slot, std::byte* device, std::int64_t bytes) {
  copy(device, slot.memory.data(), bytes, cudaMemcpyHostToDevice, in_);
  slot.copied.record(in_);
}

void Transfers::publish_in() {
  arrived_.record(in_);
  arrived_.hold(compute_);
}

void Transfers::publish_out() {
  computed_.record(compute_);
  computed_.hold(out_);
}

void Transfers::out(const std::byte* device, std::byte* host, std::int64_t bytes) {
  if (memory_.direct(host, static_cast<std::size_t>(bytes))) {
    return copy(host, device, bytes, cudaMemcpyDeviceToHost, out_);
  }
  for (std::int64_t begin = 0; begin < bytes; begin += kSlotBytes) {
    Slot& slot = out_slots_[next_out_++ % out_slots_.size()];
    drain(slot);
    slot.bytes = std::min(kSlotBytes, bytes - begin);
    copy(slot.memory.data(), device + begin, slot.bytes, cudaMemcpyDeviceToHost, out_);
    slot.copied.record(out_);
    slot.to = host + begin;
  }
}

void Transfers::drain(Slot& slot) {
  std::byte* const to = std::exchange(slot.to, nullptr);
  if (to == nullptr) return;
  slot.copied.wait();
  std::memcpy(to, slot.memory.data(), static_cast<std::size_t>(slot.bytes));
}

void Transfers::finish() {
  // The oldest first: the others come while it is copied.
  for (std::size_t i = 0; i < out_slots_.size(); ++i) {
    drain(out_slots_[(next_out_ + i) % out_slots_.size()]);
  }
  in_.wait();
  compute_.wait();
  out_.wait();
}

void Transfers::settle() noexcept {
  in_.settle();
  compute_.settle();
  out_.settle();
  for (Slot& slot : out_slots_) slot.to = nullptr;
}

}  // namespace airlock::cuda
