// Memory that the runner shares with its worker, handed out in blocks, and where a block lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/link/shared_memory.h"
#include "airlock/wire/message.h"

namespace airlock {

/// A source of blocks for a BufferPool: each is a segment of shared memory of its own, up to a
/// budget; beyond it, and below a page, blocks are ordinary memory, and tensors in them travel
/// behind their messages. Everything in a segment can be read and changed by the worker at any
/// time. Thread-safe.
class SharedArena final : public BlockSource {
 public:
  /// Smaller blocks are not worth a mapping.
  static constexpr std::size_t kLeastBlock = 4096;

  /// `budget`: bytes of all segments together.
  explicit SharedArena(std::int64_t budget) : budget_(budget) {}

  [[nodiscard]] std::byte* allocate(std::size_t capacity) override;
  void free(std::byte* block, std::size_t capacity) noexcept override;
  /// Neither a segment's number nor its part of the budget comes back.
  [[nodiscard]] bool can_make_again() const noexcept override { return false; }

  /// Where `data` lies, if it is in a segment.
  [[nodiscard]] std::optional<Place> find(const std::byte* data) const;

  /// What a peer has to be told of a segment before it is first named.
  struct News {
    ShareMessage message;
    int file = -1;  ///< valid until told()
  };
  /// Nothing if it has been told. Asked once: the caller then sends it, in order with its calls.
  [[nodiscard]] std::optional<News> news_of(std::uint16_t segment);
  /// The descriptor has been sent and is closed here.
  void told(std::uint16_t segment) noexcept;

  /// Bytes of all segments.
  [[nodiscard]] std::int64_t bytes() const;

 private:
  struct Segment {
    SharedMemory memory;
    bool announced = false;
  };

  mutable std::mutex mutex_;
  const std::int64_t budget_;
  std::int64_t used_ = 0;
  std::vector<Segment> segments_;          ///< number n is at n - 1
  std::vector<std::uint16_t> by_address_;  ///< their numbers, in order of address
  const std::shared_ptr<BlockSource> heap_ = heap_blocks();
};

}  // namespace airlock
