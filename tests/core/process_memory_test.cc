#include "airlock/core/process_memory.h"

#include <cstring>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace airlock::process_memory_test {
namespace {

constexpr std::size_t kBlock = std::size_t{64} << 20;

/// Touched memory that the system gives and takes back at once.
class Block {
 public:
  Block()
      : data_(::mmap(nullptr, kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    std::memset(data_, 1, kBlock);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { ::munmap(data_, kBlock); }

 private:
  void* data_;
};

// The kernel's counters are exact to some pages per thread; half a block is far more.
constexpr std::int64_t kSlack = static_cast<std::int64_t>(kBlock) / 2;

TEST(ProcessMemory, SeesWhatIsTouchedAndRemembersThePeak) {
  const ProcessMemory before = process_memory();
  EXPECT_GT(before.resident_bytes, 0);
  EXPECT_GE(before.peak_bytes, before.resident_bytes - kSlack);
  {
    const Block block;
    const ProcessMemory during = process_memory();
    EXPECT_GT(during.resident_bytes, before.resident_bytes + kSlack);
    EXPECT_GE(during.peak_bytes, during.resident_bytes - kSlack);
  }
  const ProcessMemory after = process_memory();
  EXPECT_LT(after.resident_bytes, before.resident_bytes + kSlack);
  EXPECT_GT(after.peak_bytes, after.resident_bytes + kSlack);
}

TEST(ProcessMemory, ThePeakStartsAfreshWhereTheSystemAllowsIt) {
  { const Block block; }
  const ProcessMemory before = process_memory();
  reset_peak_memory();
  const ProcessMemory after = process_memory();
  if (after.peak_bytes == before.peak_bytes) GTEST_SKIP() << "clear_refs is refused here";
  EXPECT_LT(after.peak_bytes, before.peak_bytes);
  EXPECT_GE(after.peak_bytes, after.resident_bytes - kSlack);
}

TEST(AvailableMemory, IsSomeAndNotMoreThanTheMachineHas) {
  const std::int64_t all = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE);
  EXPECT_GT(available_memory(), 0);
  EXPECT_LE(available_memory(), all);
}

}  // namespace
}  // namespace airlock::process_memory_test
