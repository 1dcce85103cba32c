#include "airlock/core/process_memory.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"

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

/// A machine's /proc and /sys with only what a test puts there.
class Machine {
 public:
  Machine(std::int64_t available_mib, const std::string& groups) {
    write("proc/meminfo",
          fmt::format("MemTotal: 1 kB\nMemAvailable: {} kB\n", available_mib << 10));
    write("proc/self/cgroup", groups);
  }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_.path() / path).parent_path());
    std::ofstream(root_.path() / path) << text;
  }
  /// Limit, use and droppable cache of a group, in MiB.
  void group(bool v1, const std::string& folder, const std::string& limit, std::int64_t used,
             std::int64_t cache) const {
    const std::string at = "sys/fs/cgroup/" + folder;
    write(at + (v1 ? "/memory.limit_in_bytes" : "/memory.max"), limit);
    write(at + (v1 ? "/memory.usage_in_bytes" : "/memory.current"), std::to_string(used << 20));
    write(
        at + "/memory.stat",
        fmt::format("anon 1\n{} {}\n", v1 ? "total_inactive_file" : "inactive_file", cache << 20));
  }
  [[nodiscard]] std::int64_t available_mib() const { return available_memory(root_.path()) >> 20; }

 private:
  const testing::TempDir root_;
};

std::string mib(std::int64_t count) {
  return std::to_string(count << 20);
}

TEST(AvailableMemory, IsWhatTheMachineSaysWithoutALimit) {
  Machine machine(1000, "0::/\n");
  EXPECT_EQ(machine.available_mib(), 1000);
  machine.group(false, "a", "max", 10, 0);
  machine.write("proc/self/cgroup", "0::/a\n");
  EXPECT_EQ(machine.available_mib(), 1000);
}

TEST(AvailableMemory, IsWhatTheTightestOfTheControlGroupsLeaves) {
  const Machine machine(1000, "0::/a/b\n");
  machine.group(false, "a/b", mib(500), 150, 50);
  EXPECT_EQ(machine.available_mib(), 400);
  machine.group(false, "a", mib(300), 250, 20);
  EXPECT_EQ(machine.available_mib(), 70);
  machine.group(false, "a", mib(300), 450, 20);
  EXPECT_EQ(machine.available_mib(), 0);
}

TEST(AvailableMemory, KnowsControlGroupsOfVersion1) {
  const Machine machine(1000, "9:name=systemd:/\n4:cpu,memory:/a\n0::/\n");
  machine.group(true, "memory/a", mib(500), 100, 30);
  EXPECT_EQ(machine.available_mib(), 430);
  machine.group(true, "memory", "9223372036854771712", 100, 0);
  EXPECT_EQ(machine.available_mib(), 430);
}

TEST(AvailableMemory, FindsTheLimitOfAContainerWhoseGroupHasAnotherNameInside) {
  const Machine machine(1000, "4:memory:/docker/4711\n");
  machine.group(true, "memory", mib(200), 50, 0);
  EXPECT_EQ(machine.available_mib(), 150);
}

}  // namespace
}  // namespace airlock::process_memory_test
