#include "airlock/link/fd.h"

#include <fcntl.h>
#include <unistd.h>

namespace airlock {

void Fd::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool Fd::keep_on_exec() const noexcept {
  const int flags = ::fcntl(fd_, F_GETFD);
  return flags >= 0 && ::fcntl(fd_, F_SETFD, flags & ~FD_CLOEXEC) == 0;
}

}  // namespace airlock
