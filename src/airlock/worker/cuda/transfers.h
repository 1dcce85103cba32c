// Copies between host and device that run beside the kernels: one stream in, one stream out.
#pragma once

#include <array>
#include <cstddef>

#include "airlock/worker/cuda/host_memory.h"
#include "airlock/worker/cuda/stream.h"

namespace airlock::cuda {

/// Copies memory that the GPU reaches at once; other memory passes through page-locked slots, a
/// piece at a time. Not thread-safe.
class Transfers {
 public:
  /// Both outlive this.
  Transfers(const HostMemory& memory, const Stream& compute);
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;
  ~Transfers() { settle(); }

  /// Enqueues a copy to the device. `host` is read until finish().
  void in(const std::byte* host, std::byte* device, std::int64_t bytes);
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
  static constexpr std::int64_t kSlotBytes = std::int64_t{4} << 20;

  /// Page-locked room for one piece, and the mark behind its copy.
  struct Slot {
    PinnedBuffer memory{kSlotBytes};
    Event copied;
    std::byte* to = nullptr;  ///< out: where the piece goes when it has come; null: nowhere
    std::int64_t bytes = 0;
  };
  using Slots = std::array<Slot, 4>;

  static void drain(Slot& slot);

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
