// A place inside a list of memory parts: what scatter-gather loops advance.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace airlock {

/// Walks the bytes of several parts in order, skipping empty ones. `Byte` is std::byte or const
/// std::byte. Refers to the caller's list, copies nothing. Not thread-safe.
template <typename Byte>
class PartCursor {
 public:
  PartCursor() = default;
  explicit PartCursor(std::span<const std::span<Byte>> parts) : parts_(parts) {
    for (const auto& part : parts) left_ += part.size();
    skip_empty();
  }

  [[nodiscard]] bool done() const noexcept { return left_ == 0; }
  /// Bytes not walked over yet.
  [[nodiscard]] std::size_t left() const noexcept { return left_; }
  /// The rest of the part the cursor is in; empty if done.
  [[nodiscard]] std::span<Byte> front() const noexcept {
    return done() ? std::span<Byte>() : parts_.front().subspan(offset_);
  }
  /// Walks over `count` bytes, at most left().
  void advance(std::size_t count) noexcept {
    left_ -= count;
    offset_ += count;
    skip_empty();
  }
  /// Fills `out` with what comes next, as far as it fits and no more than `most` bytes; returns how
  /// many entries. Does not advance.
  std::size_t fill(std::span<std::span<Byte>> out, std::size_t most) const noexcept {
    std::size_t count = 0;
    std::size_t offset = offset_;
    for (auto part = parts_.begin(); part != parts_.end() && count < out.size() && most > 0;
         ++part) {
      if (part->size() > offset) {
        out[count] = part->subspan(offset, std::min(part->size() - offset, most));
        most -= out[count++].size();
      }
      offset = 0;
    }
    return count;
  }
  /// Fills `out` (iovec or alike) with what comes next, as far as it fits; returns how many
  /// entries.
  template <typename Iovec>
  std::size_t fill(std::span<Iovec> out) const noexcept {
    std::size_t count = 0;
    std::size_t offset = offset_;
    for (auto part = parts_.begin(); part != parts_.end() && count < out.size(); ++part) {
      if (part->size() > offset) {
        out[count].iov_base =
            const_cast<std::byte*>(static_cast<const std::byte*>(part->data() + offset));
        out[count++].iov_len = part->size() - offset;
      }
      offset = 0;
    }
    return count;
  }

 private:
  void skip_empty() noexcept {
    while (!parts_.empty() && offset_ >= parts_.front().size()) {
      offset_ -= parts_.front().size();
      parts_ = parts_.subspan(1);
    }
  }

  std::span<const std::span<Byte>> parts_;
  std::size_t offset_ = 0;
  std::size_t left_ = 0;
};

}  // namespace airlock
