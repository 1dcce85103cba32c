// Aligned memory that is reused: fresh pages cost ten times a copy at first touch.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "airlock/core/memory_budget.h"

namespace airlock {

class BufferPool;

/// A block of bytes on loan from a BufferPool, 64-byte aligned; goes back on destruction. Movable.
/// The pool's storage lives until the last buffer is gone, so order of destruction is free.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  /// Bytes asked for (the block behind it may be larger).
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_, size_}; }
  template <typename T>
  [[nodiscard]] T* as() const noexcept {
    return reinterpret_cast<T*>(data_);
  }
  /// Gives the block back now; the buffer is empty afterwards.
  void release() noexcept;

 private:
  friend class BufferPool;
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

/// Where a pool's blocks come from. Thread-safe: several pools' threads may ask at once.
class BlockSource {
 public:
  BlockSource() = default;
  BlockSource(const BlockSource&) = delete;
  BlockSource& operator=(const BlockSource&) = delete;
  virtual ~BlockSource() = default;
  /// A block of `capacity` bytes, BufferPool::kAlignment aligned. Throws Error(kResourceExhausted).
  [[nodiscard]] virtual std::byte* allocate(std::size_t capacity) = 0;
  /// Takes a block back; `capacity` as it was asked for.
  virtual void free(std::byte* block, std::size_t capacity) noexcept = 0;
  /// False where a block that is freed is lost for good, so that a pool rather keeps it.
  [[nodiscard]] virtual bool can_make_again() const noexcept { return true; }
};

/// Blocks of the process's own memory, in huge pages where the system likes to.
[[nodiscard]] std::shared_ptr<BlockSource> heap_blocks();

/// Hands out buffers and keeps what comes back. Blocks are powers of two up to 1 MiB, then
/// multiples of 1/8 of a power of two, so that at most a quarter of a block is slack. Content is
/// not cleared. Every block counts against a budget until it is given back to the system; the
/// longest idle are when idle blocks take more than kIdleShare times what has been on loan at the
/// same time, and whenever the budget wants them. Thread-safe. Copies share the same storage.
class BufferPool {
 public:
  /// 64 bytes: a cache line, and what SIMD loads, oneDNN and the wire's tensor alignment want.
  static constexpr std::size_t kAlignment = 64;
  /// A call's buffers are of several sizes, and the next call's of others: this keeps a layer's.
  static constexpr std::size_t kIdleShare = 2;
  /// Idle bytes that a pool may always keep.
  static constexpr std::size_t kLeastIdle = std::size_t{1} << 20;

  BufferPool() : BufferPool(heap_blocks()) {}
  /// Blocks come from `source`, which lives until the last buffer is gone, as must `budget`.
  explicit BufferPool(std::shared_ptr<BlockSource> source, MemoryBudget& budget = process_budget());

  /// A buffer of `size` bytes, from the pool if one of its class is free, else fresh.
  /// Throws Error(kResourceExhausted) if the budget or the system has no memory left.
  [[nodiscard]] Buffer acquire(std::size_t size) const;

  /// Bytes in blocks on loan, and in blocks waiting to be reused.
  [[nodiscard]] std::size_t bytes_in_use() const;
  [[nodiscard]] std::size_t bytes_idle() const;
  /// Gives idle blocks back to the system. What is on loan now (weights) no longer says how much
  /// may be idle.
  void trim() const;

 private:
  std::shared_ptr<Buffer::Shared> shared_;
};

}  // namespace airlock
