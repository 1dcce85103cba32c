#include "airlock/link/fd.h"

#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace airlock::fd_test {
namespace {

TEST(Fd, ClosesWhatItOwnsOnce) {
  const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    Fd first(number);
    const Fd second(std::move(first));
    EXPECT_FALSE(first);
    EXPECT_EQ(second.get(), number);
    EXPECT_GE(::fcntl(number, F_GETFD), 0);
  }
  EXPECT_LT(::fcntl(number, F_GETFD), 0);
}

// In a process of its own: this one's descriptors stay as they are.
TEST(FdDeathTest, ExecClosesAllButWhatIsKept) {
  EXPECT_EXIT(
      {
        const Fd before(::open("/dev/null", O_RDONLY));
        const Fd kept(::open("/dev/null", O_RDONLY));
        const int far = ::dup2(before.get(), 57);
        close_on_exec_from(STDERR_FILENO + 1);
        const bool marked = ::fcntl(before.get(), F_GETFD) == FD_CLOEXEC &&
                            ::fcntl(far, F_GETFD) == FD_CLOEXEC &&
                            ::fcntl(STDERR_FILENO, F_GETFD) == 0;
        ::_exit(marked && kept.keep_on_exec() && ::fcntl(kept.get(), F_GETFD) == 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace airlock::fd_test
