#include "airlock/remote/shared_arena.h"

#include <algorithm>
#include <functional>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/wire/frame.h"

namespace airlock {

std::byte* SharedArena::allocate(std::size_t capacity) {
  {
    const std::lock_guard lock(mutex_);
    const auto size = static_cast<std::int64_t>(capacity);
    if (capacity >= kLeastBlock && segments_.size() < ShareMessage::kMaxSegments &&
        size <= budget_ - used_) {
      try {
        SharedMemory memory = SharedMemory::create(capacity);
        std::byte* data = memory.bytes().data();
        const auto number = static_cast<std::uint16_t>(segments_.size() + 1);
        const auto at = std::find_if(by_address_.begin(), by_address_.end(), [&](std::uint16_t n) {
          return std::less<>()(data, segments_[n - 1U].memory.bytes().data());
        });
        by_address_.insert(at, number);
        used_ += static_cast<std::int64_t>(memory.bytes().size());
        segments_.push_back({std::move(memory), false});
        return data;
      } catch (const Error& error) {
        log_warning("tensors of {} bytes travel through the socket: {}", capacity, error.what());
      }
    }
  }
  return heap_->allocate(capacity);
}

void SharedArena::free(std::byte* block, std::size_t capacity) noexcept {
  // The worker has the segment mapped until the session ends; its number is not used again.
  const std::lock_guard lock(mutex_);
  for (Segment& segment : segments_) {
    if (segment.memory.bytes().data() != block) continue;
    std::erase(by_address_, static_cast<std::uint16_t>(&segment - segments_.data() + 1));
    segment.memory = SharedMemory();
    return;
  }
  heap_->free(block, capacity);
}

std::optional<Place> SharedArena::find(const std::byte* data) const {
  const std::lock_guard lock(mutex_);
  const auto after =
      std::upper_bound(by_address_.begin(), by_address_.end(), data,
                       [this](const std::byte* wanted, std::uint16_t number) {
                         return std::less<>()(wanted, segments_[number - 1U].memory.bytes().data());
                       });
  if (after == by_address_.begin()) return std::nullopt;
  const std::uint16_t number = *(after - 1);
  const auto bytes = segments_[number - 1U].memory.bytes();
  const std::ptrdiff_t offset = data - bytes.data();
  if (offset >= static_cast<std::ptrdiff_t>(bytes.size()) || offset % kTensorAlignment != 0) {
    return std::nullopt;
  }
  return Place{number, offset};
}

std::optional<SharedArena::News> SharedArena::news_of(std::uint16_t segment) {
  const std::lock_guard lock(mutex_);
  Segment& wanted = segments_.at(segment - 1U);
  if (wanted.announced) return std::nullopt;
  wanted.announced = true;
  return News{{segment, static_cast<std::int64_t>(wanted.memory.bytes().size())},
              wanted.memory.file()};
}

void SharedArena::told(std::uint16_t segment) noexcept {
  const std::lock_guard lock(mutex_);
  segments_[segment - 1U].memory.forget_file();
}

std::int64_t SharedArena::bytes() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

}  // namespace airlock
