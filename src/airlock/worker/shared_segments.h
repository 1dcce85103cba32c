// The memory a runner shares with the worker in one session, and tensors found in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "airlock/core/tensor.h"
#include "airlock/link/shared_memory.h"
#include "airlock/wire/message.h"
#include "airlock/worker/backend.h"

namespace airlock {

/// Segments by number, in whatever order they come. What a runner says of them is checked; what it
/// writes into them may change at any time and is only ever taken for numbers. Not thread-safe.
class SharedSegments {
 public:
  /// `budget`: bytes a session may share. `backend`, if there is one, hears of each segment and of
  /// its end, and outlives this.
  explicit SharedSegments(std::int64_t budget, Backend* backend = nullptr);
  SharedSegments(SharedSegments&& other) noexcept;
  SharedSegments& operator=(SharedSegments&& other) noexcept;
  ~SharedSegments();

  /// Maps a new segment, which counts against the process's budget (core/memory_budget.h) until it
  /// is unmapped. Throws Error(kProtocol) for a number known already, without a descriptor, past
  /// the session's budget, or what SharedMemory::adopt refuses; Error(kResourceExhausted) past the
  /// process's.
  void add(const ShareMessage& message, Fd file);

  /// The memory of a tensor at `place`. Throws Error(kProtocol) if it is not inside a segment, or
  /// holds ids, which are looked up and must not change after their check.
  [[nodiscard]] Tensor find(const Place& place, const TensorSpec& spec) const;

  /// `bytes` bytes at `place`. Throws Error(kProtocol) if they are not inside a segment.
  [[nodiscard]] std::span<std::byte> find(const Place& place, std::int64_t bytes) const;

 private:
  class Segment;

  std::int64_t budget_;
  std::int64_t used_ = 0;
  Backend* backend_;
  std::vector<std::unique_ptr<Segment>> segments_;  ///< number n is at n - 1; null: not shared
};

}  // namespace airlock
