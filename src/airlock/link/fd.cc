#include "airlock/link/fd.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <unistd.h>

namespace airlock {

void Fd::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool Fd::keep_on_exec() const noexcept {
  const int flags = ::fcntl(fd_, F_GETFD);
  return flags >= 0 && ::fcntl(fd_, F_SETFD, flags & ~FD_CLOEXEC) == 0;
}

void close_on_exec_from(int first) noexcept {
  if (::close_range(static_cast<unsigned>(first), ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  // Linux before 5.11, and some sandboxes.
  rlimit limit{};
  constexpr rlim_t kMost = 1 << 20;  // what the kernel allows where nobody raised it
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
  const int end = static_cast<int>(known && limit.rlim_cur < kMost ? limit.rlim_cur : kMost);
  for (int fd = first; fd < end; ++fd) (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

}  // namespace airlock
