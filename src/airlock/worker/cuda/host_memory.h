// Host memory as the GPU sees it: page-locked blocks, and a runner's shared memory registered with
// the driver, both of which copies reach directly.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/worker/cuda/address_ranges.h"
#include "airlock/worker/cuda/gpu.h"

namespace airlock::cuda {

/// A page-locked block, freed on destruction.
class PinnedBuffer {
 public:
  /// Throws Error(kResourceExhausted) if the system locks no more memory.
  explicit PinnedBuffer(std::size_t bytes);
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  ~PinnedBuffer();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }

 private:
  std::byte* data_ = nullptr;
};

/// Thread-safe.
class HostMemory {
 public:
  explicit HostMemory(const Gpu& gpu) : gpu_(gpu), ranges_(std::make_shared<AddressRanges>()) {}

  /// A pool of page-locked blocks; of ordinary ones where they are small or, with a warning, where
  /// the system locks no more. May outlive this.
  [[nodiscard]] BufferPool pool() const;

  /// Registers memory that tensors will lie in, or says once that the driver does not take it
  /// (GPUs in confidential mode do not): copies then pass through page-locked memory.
  void add(std::span<std::byte> memory);
  /// The memory is about to go; no copy is under way.
  void remove(std::span<std::byte> memory) noexcept;

  /// True if copies reach it directly.
  [[nodiscard]] bool direct(const std::byte* data, std::size_t size) const {
    return ranges_->contain(data, size);
  }

 private:
  Gpu gpu_;
  std::shared_ptr<AddressRanges> ranges_;
};

}  // namespace airlock::cuda
