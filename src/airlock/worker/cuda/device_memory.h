// Device memory, owned and counted: single blocks, and the arena that a call's tensors come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "airlock/worker/cuda/memory_budget.h"

namespace airlock::cuda {

/// A block of memory of the current device, 256-byte aligned. Movable; freed on destruction, which
/// waits for work on it.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  /// Takes `bytes` from `budget` (which must outlive this) and then from the device. Throws
  /// Error(kResourceExhausted) if either has not as much.
  DeviceBuffer(MemoryBudget& budget, std::int64_t bytes);
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() { release(); }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }
  void release() noexcept;

 private:
  MemoryBudget* budget_ = nullptr;
  std::byte* data_ = nullptr;
  std::int64_t size_ = 0;
};

/// Memory for one call after the other: handed out front to back, all of it free again at reset().
/// Once the largest call has been seen it is one block and asks the device for nothing.
class Arena {
 public:
  explicit Arena(MemoryBudget& budget) : budget_(budget) {}

  /// Nothing on the device may use what was handed out any more.
  void reset();
  /// `bytes` of memory, 256-byte aligned. Throws as DeviceBuffer.
  [[nodiscard]] std::byte* take(std::int64_t bytes);

  /// The block that all memory taken since reset() lies in, or nothing if there is none.
  [[nodiscard]] std::span<const std::byte> whole() const noexcept {
    if (!extras_.empty()) return {};
    return {block_.data(), static_cast<std::size_t>(block_.size())};
  }

  template <typename T>
  [[nodiscard]] T* take_array(std::int64_t count) {
    return reinterpret_cast<T*>(take(count * static_cast<std::int64_t>(sizeof(T))));
  }

  /// When it goes, what was taken since it came is free for others to take: of use for memory that
  /// one stream alone touches, whose work is in order.
  class Mark {
   public:
    explicit Mark(Arena& arena)
        : arena_(arena), used_(arena.used_), extras_(arena.extras_in_use_) {}
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    ~Mark() {
      arena_.used_ = used_;
      arena_.extras_in_use_ = extras_;
    }

   private:
    Arena& arena_;
    std::int64_t used_;
    std::size_t extras_;
  };

 private:
  MemoryBudget& budget_;
  DeviceBuffer block_;
  std::int64_t used_ = 0;             ///< of block_
  bool block_in_use_ = false;         ///< since reset()
  std::vector<DeviceBuffer> extras_;  ///< what did not fit it, until reset()
  std::size_t extras_in_use_ = 0;
};

}  // namespace airlock::cuda
