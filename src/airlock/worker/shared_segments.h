// The memory a runner shares with the worker in one session, and tensors found in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "airlock/core/tensor.h"
#include "airlock/link/shared_memory.h"
#include "airlock/wire/message.h"

namespace airlock {

/// Segments by number, in whatever order they come. What a runner says of them is checked; what it
/// writes into them may change at any time and is only ever taken for numbers. Not thread-safe.
class SharedSegments {
 public:
  /// `budget`: bytes a session may share.
  explicit SharedSegments(std::int64_t budget) : budget_(budget) {}

  /// Maps a new segment. Throws Error(kProtocol) for a number known already, without a
  /// descriptor, past the budget, or what SharedMemory::adopt refuses.
  void add(const ShareMessage& message, Fd file);

  /// The memory of a tensor at `place`. Throws Error(kProtocol) if it is not inside a segment, or
  /// holds ids, which are looked up and must not change after their check.
  [[nodiscard]] Tensor find(const Place& place, const TensorSpec& spec) const;

  /// `bytes` bytes at `place`. Throws Error(kProtocol) if they are not inside a segment.
  [[nodiscard]] std::span<std::byte> find(const Place& place, std::int64_t bytes) const;

 private:
  std::int64_t budget_;
  std::int64_t used_ = 0;
  std::vector<SharedMemory> segments_;  ///< number n is at n - 1; empty: not shared
};

}  // namespace airlock
