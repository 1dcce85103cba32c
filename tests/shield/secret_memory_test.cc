#include "airlock/shield/secret_memory.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock::secret_memory_test {
namespace {

/// The kernel's flags of the mapping that holds `address`, e.g. "rd wr mr mw me ac dd".
std::string flags_of(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::string line;
  bool inside = false;
  while (std::getline(maps, line)) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    std::istringstream fields(line);
    if (fields >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line.substr(8) + ' ';
    }
  }
  return "";
}

TEST(SecretMemory, IsNotDumpedNorInheritedAndCounted) {
  const SecretMemory before = secret_memory();
  const BufferPool pool(secret_blocks());
  {
    const Buffer buffer = pool.acquire(100'000);
    EXPECT_TRUE(std::ranges::all_of(buffer.span(), [](std::byte b) { return b == std::byte{0}; }));
    const std::string flags = flags_of(buffer.data());
    EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
    EXPECT_NE(flags.find(" dc "), std::string::npos) << flags;
    const SecretMemory now = secret_memory();
    const std::int64_t locked = now.locked - before.locked;
    EXPECT_GE(locked + now.unlocked - before.unlocked, 100'000);
    EXPECT_EQ(flags.find(" lo ") != std::string::npos, locked > 0) << flags;
  }
  pool.trim();
  EXPECT_EQ(secret_memory().locked, before.locked);
  EXPECT_EQ(secret_memory().unlocked, before.unlocked);
}

TEST(SecretMemory, WorksWithoutLeaveToLock) {
  // In a child, whose limit is its own.
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit none{0, 0};
    if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) ::_exit(2);
    const BufferPool pool(secret_blocks());
    const Buffer buffer = pool.acquire(1 << 20);
    std::ranges::fill(buffer.span(), std::byte{1});
    ::_exit(buffer.data()[(1 << 20) - 1] == std::byte{1} ? 0 : 3);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(SecretMemory, ForbiddingCoreDumpsHolds) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    forbid_core_dumps();
    rlimit limit{1, 1};
    const bool ok = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
                    ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 &&
                    limit.rlim_max == 0;
    ::_exit(ok ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(SecretMemory, AHugeBlockIsRefusedWithoutHarm) {
  const auto source = secret_blocks();
  const SecretMemory before = secret_memory();
  EXPECT_THROW((void)source->allocate(std::size_t{1} << 60), Error);
  EXPECT_EQ(secret_memory().locked, before.locked);
  EXPECT_EQ(secret_memory().unlocked, before.unlocked);
}

}  // namespace
}  // namespace airlock::secret_memory_test
