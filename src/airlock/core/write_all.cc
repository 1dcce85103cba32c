#include "airlock/core/write_all.h"

#include <cerrno>

#include <unistd.h>

namespace airlock {

int pwrite_all(int fd, std::int64_t offset, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const ::ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<::off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put < 0 ? errno : ENOSPC;
    offset += put;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return 0;
}

}  // namespace airlock
