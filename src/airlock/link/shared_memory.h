// A piece of memory that two processes map: how large tensors pass without a copy.
// link/ carries bytes between two processes (or threads) and knows nothing of what they mean.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "airlock/link/fd.h"

namespace airlock {

/// An anonymous memory file (memfd_create(2)) mapped for reading and writing; it has no name in any
/// file system, so that no kind of death leaves one behind. Its size is sealed: no side can shrink
/// it under the other, which would kill that one at its next access. The peer can change the
/// content at any time: what is checked must be copied out first. Movable.
///
/// The system counts a page against whoever touched it first (cgroups(7)), for as long as any side
/// has the file. A peer can take pages away (punch holes) and let this side make them again, so
/// that they count against this side. So destruction takes all pages away (madvise(2), MADV_REMOVE;
/// the seals allow it): what this side paid for ends with its mapping, whatever the peer keeps, and
/// meets zeros.
class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  /// `size` bytes (rounded up to whole pages), zeroed, all of their pages present.
  /// Throws Error(kResourceExhausted) if the system has not as much available, or no descriptor.
  [[nodiscard]] static SharedMemory create(std::size_t size);

  /// Maps what a peer sent and seals its seals. Throws Error(kProtocol) unless it is a memory file
  /// of exactly `size` bytes and ordinary pages, all of them present, that can be written and
  /// cannot change its size, Error(kResourceExhausted) if it cannot be mapped.
  [[nodiscard]] static SharedMemory adopt(Fd file, std::size_t size);

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The descriptor to pass to the peer, or -1 after forget_file().
  [[nodiscard]] int file() const noexcept { return file_.get(); }
  /// Closes the descriptor; the mapping stays.
  void forget_file() noexcept { file_.reset(); }

 private:
  SharedMemory(Fd file, std::size_t size);
  void unmap() noexcept;

  Fd file_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace airlock
