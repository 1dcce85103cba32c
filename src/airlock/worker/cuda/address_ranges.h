// Pieces of host memory that the GPU reaches directly, found by address. Knows nothing of CUDA.
#pragma once

#include <cstddef>
#include <iterator>
#include <map>
#include <mutex>

namespace airlock::cuda {

/// Disjoint ranges of addresses. Thread-safe.
class AddressRanges {
 public:
  void add(const std::byte* data, std::size_t size) {
    const std::lock_guard lock(mutex_);
    ranges_[data] = size;
  }
  /// Forgets the range that begins at `data`; false if there is none.
  bool remove(const std::byte* data) {
    const std::lock_guard lock(mutex_);
    return ranges_.erase(data) > 0;
  }
  /// True if all of [data, data + size) lies in one range.
  [[nodiscard]] bool contain(const std::byte* data, std::size_t size) const {
    const std::lock_guard lock(mutex_);
    const auto after = ranges_.upper_bound(data);
    if (after == ranges_.begin()) return false;
    const auto& [begin, length] = *std::prev(after);
    const auto offset = static_cast<std::size_t>(data - begin);
    return offset <= length && size <= length - offset;
  }

 private:
  mutable std::mutex mutex_;
  std::map<const std::byte*, std::size_t> ranges_;
};

}  // namespace airlock::cuda
