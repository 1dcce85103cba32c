// Copies between host and device that run beside the kernels: one stream in, one stream out.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "airlock/worker/cuda/host_memory.h"
#include "airlock/worker/cuda/stream.h"

namespace airlock::cuda {

/// Copies memory that the GPU reaches at once; other memory passes through page-locked slots, a
/// piece at a time. Not thread-safe.
class Transfers {
 public:
  static constexpr std::int64_t kSlotBytes = std::int64_t{4} << 20;

  /// Both outlive this.
  Transfers(const HostMemory& memory, const Stream& compute);
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;
  ~Transfers() { settle(); }

  /// Enqueues a copy to the device. `host` is read until finish().
  void in(const std::byte* host, std::byte* device, std::int64_t bytes);
  /// The same for `count` rows of `row_bytes` (at most kSlotBytes) that make(first, rows, memory)
  /// writes straight into page-locked slots, as many at a time as one holds.
  template <typename Make>
  void make_in(std::byte* device, std::int64_t row_bytes, std::int64_t count, const Make& make) {
    const std::int64_t most = kSlotBytes / row_bytes;
    for (std::int64_t first = 0; first < count; first += most) {
      const std::int64_t rows = std::min(most, count - first);
      const Slot& slot = next_in_slot();
      make(first, rows, slot.memory.data());
      send_slot(slot, device + first * row_bytes, rows * row_bytes);
    }
  }
  /// Kernels enqueued from now on see all that in() has copied.
  void publish_in();

  /// Copies enqueued from now on see what the kernels enqueued so far have written.
  void publish_out();
  /// Enqueues a copy to the host, which is written until finish().
  void out(const std::byte* device, std::byte* host, std::int64_t bytes);

  /// Waits until everything has arrived. Throws what kernels and copies failed with.
  void finish();
  /// The same after a failure: nothing is under way afterwards, and nothing is promised.
  void settle() noexcept;

 private:
  /// Page-locked room for one piece, and the mark behind its copy.
  struct Slot {
    PinnedBuffer memory{kSlotBytes};
    Event copied;
    std::byte* to = nullptr;  ///< out: where the piece goes when it has come; null: nowhere
    std::int64_t bytes = 0;
  };
  using Slots = std::array<Slot, 4>;

  static void drain(Slot& slot);
  /// One whose last copy has been made.
  const Slot& next_in_slot();
  void send_slot(const Slot& slot, std::byte* device, std::int64_t bytes);

  const HostMemory& memory_;
  const Stream& compute_;
  Slots in_slots_;
  Slots out_slots_;
  std::size_t next_in_ = 0;
  std::size_t next_out_ = 0;
  Event arrived_;
  Event computed_;
  Stream in_;
  Stream out_;
};

}  // namespace airlock::cuda
