#include "airlock/link/shared_memory.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <limits>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/process_memory.h"

#include "tests/link/link_support.h"
#include "tests/support/leftovers.h"

namespace airlock::shared_memory_test {
namespace {

const auto kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
constexpr int kSealed = F_SEAL_SHRINK | F_SEAL_GROW;

/// What a peer may send: a memory file of `size` bytes with `seals`, of which `present` have pages.
Fd memory_file(std::size_t size, int seals, std::size_t present) {
  Fd file(::memfd_create("airlock-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (file) {
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    if (present > 0) {
      EXPECT_EQ(::fallocate(file.get(), 0, 0, static_cast<off_t>(present)), 0);
    }
    EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, seals), 0);
  }
  return file;
}

Fd memory_file(std::size_t size, int seals) {
  return memory_file(size, seals, size);
}

Fd duplicate(int file) {
  return Fd(::fcntl(file, F_DUPFD_CLOEXEC, 0));
}

std::size_t resident_pages(std::span<std::byte> bytes) {
  std::vector<unsigned char> present((bytes.size() + kPage - 1) / kPage);
  EXPECT_EQ(::mincore(bytes.data(), bytes.size(), present.data()), 0);
  return static_cast<std::size_t>(
      std::count_if(present.begin(), present.end(), [](unsigned char p) { return (p & 1) != 0; }));
}

std::int64_t allocated_bytes(int file) {
  struct stat status {};
  EXPECT_EQ(::fstat(file, &status), 0);
  return static_cast<std::int64_t>(status.st_blocks) * 512;
}

TEST(SharedMemory, IsWholePagesZeroedAndPresent) {
  for (const std::size_t size : {std::size_t{1}, kPage, 3 * kPage + 1, std::size_t{1} << 20}) {
    const SharedMemory memory = SharedMemory::create(size);
    const auto bytes = memory.bytes();
    EXPECT_EQ(bytes.size(), (size + kPage - 1) / kPage * kPage);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data()) % kPage, 0U);
    EXPECT_EQ(resident_pages(bytes), bytes.size() / kPage);
    EXPECT_TRUE(
        std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{}; }));
  }
}

TEST(SharedMemory, CannotChangeItsSizeNorItsSeals) {
  const SharedMemory memory = SharedMemory::create(2 * kPage);
  for (const std::size_t size : {std::size_t{0}, kPage, 3 * kPage}) {
    EXPECT_NE(::ftruncate(memory.file(), static_cast<off_t>(size)), 0) << size;
    EXPECT_EQ(errno, EPERM);
  }
  EXPECT_NE(::fcntl(memory.file(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST(SharedMemory, WhatOneSideWritesTheOtherReads) {
  const SharedMemory ours = SharedMemory::create(kPage);
  const SharedMemory theirs = SharedMemory::adopt(duplicate(ours.file()), kPage);
  ASSERT_NE(ours.bytes().data(), theirs.bytes().data());
  ours.bytes()[7] = std::byte{42};
  theirs.bytes()[kPage - 1] = std::byte{43};
  EXPECT_EQ(theirs.bytes()[7], std::byte{42});
  EXPECT_EQ(ours.bytes()[kPage - 1], std::byte{43});
}

TEST(SharedMemory, AdoptsAFileOfAnyLengthWhosePagesAreThere) {
  for (const std::size_t size : {std::size_t{1}, kPage, 5 * kPage + 3}) {
    const SharedMemory memory = SharedMemory::adopt(memory_file(size, kSealed), size);
    EXPECT_EQ(memory.bytes().size(), size);
    EXPECT_EQ(resident_pages(memory.bytes()), (size + kPage - 1) / kPage);
    EXPECT_GE(allocated_bytes(memory.file()), static_cast<std::int64_t>(size));
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{1});
  }
}

TEST(SharedMemory, MakesNoPagesForAPeer) {
  for (const std::size_t present : {std::size_t{0}, kPage, 4 * kPage}) {
    const Fd file = memory_file(5 * kPage, kSealed, present);
    expect_error(ErrorCode::kProtocol,
                 fmt::format("of 20480 bytes of which {} are present", present).c_str(),
                 [&] { (void)SharedMemory::adopt(duplicate(file.get()), 5 * kPage); });
    EXPECT_EQ(allocated_bytes(file.get()), static_cast<std::int64_t>(present));
  }
}

TEST(SharedMemory, TakesItsPagesAlongWhateverThePeerKeeps) {
  // Kept by a peer, pages that this side made in holes would count against it without end.
  const Fd file = memory_file(4 * kPage, kSealed);
  {
    const SharedMemory memory = SharedMemory::adopt(duplicate(file.get()), 4 * kPage);
    ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                          static_cast<off_t>(4 * kPage)),
              0);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{1});
    EXPECT_EQ(allocated_bytes(file.get()), static_cast<std::int64_t>(4 * kPage));
  }
  EXPECT_EQ(allocated_bytes(file.get()), 0);
}

TEST(SharedMemory, APeerCannotSealItsPagesAfterwards) {
  const Fd file = memory_file(kPage, kSealed);
  {
    const SharedMemory memory = SharedMemory::adopt(duplicate(file.get()), kPage);
    EXPECT_NE(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
  }
  EXPECT_EQ(allocated_bytes(file.get()), 0);
}

TEST(SharedMemory, RefusesWhatIsNoMemoryOfASealedSize) {
  const char* reason = "not memory of a sealed size";
  const auto refused = [&](Fd file, std::size_t size) {
    expect_error(ErrorCode::kProtocol, reason,
                 [&] { (void)SharedMemory::adopt(std::move(file), size); });
  };
  const TempFolder folder;
  Fd regular(::open(folder.file("regular").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(regular.get(), static_cast<off_t>(kPage)), 0);
  refused(std::move(regular), kPage);
  refused(Fd(::open("/dev/zero", O_RDWR | O_CLOEXEC)), kPage);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  refused(Fd(ends[0]), kPage);
  refused(Fd(ends[1]), kPage);
  refused(Fd(::memfd_create("no seals", MFD_CLOEXEC)), kPage);
  refused(memory_file(kPage, 0), kPage);
  refused(memory_file(kPage, F_SEAL_SHRINK), kPage);
  refused(memory_file(kPage, F_SEAL_GROW), kPage);
  refused(Fd(), kPage);
}

TEST(SharedMemory, RefusesAnotherSizeThanAnnounced) {
  for (const std::size_t announced : {std::size_t{0}, std::size_t{1}, kPage - 1, kPage + 1,
                                      2 * kPage, std::numeric_limits<std::size_t>::max()}) {
    expect_error(ErrorCode::kProtocol, "and announced",
                 [&] { (void)SharedMemory::adopt(memory_file(kPage, kSealed), announced); });
  }
  expect_error(ErrorCode::kProtocol, "and announced",
               [] { (void)SharedMemory::adopt(memory_file(0, kSealed), 0); });
}

TEST(SharedMemory, RefusesWhatCannotBeWritten) {
  for (const int seal : {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE}) {
    expect_error(ErrorCode::kProtocol, "cannot be written",
                 [&] { (void)SharedMemory::adopt(memory_file(kPage, kSealed | seal), kPage); });
  }
}

TEST(SharedMemory, RefusesADescriptorThatIsOpenForReadingOnly) {
  const Fd file = memory_file(kPage, kSealed);
  Fd reading(::open(fmt::format("/proc/self/fd/{}", file.get()).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(static_cast<bool>(reading));
  expect_error(ErrorCode::kProtocol, "cannot be written",
               [&] { (void)SharedMemory::adopt(std::move(reading), kPage); });
}

TEST(SharedMemory, RefusesHugePagesWhichThePeerCouldTakeAway) {
  const std::size_t size = std::size_t{2} << 20;
  Fd file(::memfd_create("airlock-test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(size)) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, kSealed) != 0) {
    GTEST_SKIP() << "this system has no huge pages";
  }
  expect_error(ErrorCode::kProtocol, "ordinary pages",
               [&] { (void)SharedMemory::adopt(std::move(file), size); });
}

TEST(SharedMemory, SurvivesAPeerThatPunchesHoles) {
  const SharedMemory ours = SharedMemory::create(4 * kPage);
  const SharedMemory theirs = SharedMemory::adopt(duplicate(ours.file()), 4 * kPage);
  std::fill(ours.bytes().begin(), ours.bytes().end(), std::byte{9});
  ASSERT_EQ(::fallocate(ours.file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                        static_cast<off_t>(2 * kPage)),
            0);
  EXPECT_EQ(theirs.bytes()[0], std::byte{0});
  EXPECT_EQ(theirs.bytes()[2 * kPage], std::byte{9});
  std::fill(theirs.bytes().begin(), theirs.bytes().end(), std::byte{8});
}

/// A limit of this process for the length of a scope.
class Limited {
 public:
  Limited(decltype(RLIMIT_FSIZE) what, rlim_t most) : what_(what) {
    EXPECT_EQ(::getrlimit(what, &before_), 0);
    rlimit limited = before_;
    limited.rlim_cur = most;
    EXPECT_EQ(::setrlimit(what, &limited), 0);
  }
  Limited(const Limited&) = delete;
  Limited& operator=(const Limited&) = delete;
  ~Limited() { ::setrlimit(what_, &before_); }

 private:
  decltype(RLIMIT_FSIZE) what_;
  rlimit before_{};
};

TEST(SharedMemory, WhatTheSystemRefusesIsATypedError) {
  const auto all = static_cast<std::size_t>(available_memory());
  for (const std::size_t size :
       {std::size_t{0}, 2 * all, std::size_t{1} << 62,
        std::numeric_limits<std::size_t>::max() - kPage, std::numeric_limits<std::size_t>::max()}) {
    expect_error(ErrorCode::kResourceExhausted, "shared memory",
                 [&] { (void)SharedMemory::create(size); });
  }
  // Nothing of these pages exists, and a peer may not make us run out of memory.
  expect_error(ErrorCode::kProtocol, "of which 0 are present",
               [&] { (void)SharedMemory::adopt(memory_file(2 * all, kSealed, 0), 2 * all); });
  ASSERT_NE(::signal(SIGXFSZ, SIG_IGN), SIG_ERR);
  {
    const Limited limited(RLIMIT_FSIZE, kPage);
    EXPECT_NO_THROW((void)SharedMemory::create(kPage));
    expect_error(ErrorCode::kResourceExhausted, "shared memory",
                 [] { (void)SharedMemory::create(2 * kPage); });
  }
  const Limited limited(RLIMIT_NOFILE, 0);
  expect_error(ErrorCode::kResourceExhausted, "cannot make shared memory",
               [] { (void)SharedMemory::create(kPage); });
}

TEST(SharedMemory, MovesAndLeavesNothing) {
  const auto before = testing::holdings();
  {
    SharedMemory first = SharedMemory::create(kPage);
    std::byte* const data = first.bytes().data();
    SharedMemory second(std::move(first));
    EXPECT_TRUE(first.bytes().empty());
    EXPECT_EQ(first.file(), -1);
    EXPECT_EQ(second.bytes().data(), data);
    EXPECT_EQ(testing::holdings().mappings, before.mappings + 1);
    SharedMemory third = SharedMemory::create(2 * kPage);
    third = std::move(second);  // its own is unmapped
    EXPECT_EQ(third.bytes().data(), data);
    EXPECT_EQ(testing::holdings().mappings, before.mappings + 1);
    EXPECT_EQ(testing::holdings().descriptors, before.descriptors + 1);
    third.forget_file();
    EXPECT_EQ(third.file(), -1);
    EXPECT_EQ(testing::holdings().descriptors, before.descriptors);
    third.bytes()[0] = std::byte{1};
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

TEST(SharedMemory, RefusalsLeaveNothing) {
  const auto before = testing::holdings();
  EXPECT_THROW((void)SharedMemory::adopt(memory_file(kPage, kSealed), 2 * kPage), Error);
  EXPECT_THROW((void)SharedMemory::adopt(memory_file(kPage, 0), kPage), Error);
  EXPECT_THROW((void)SharedMemory::create(0), Error);
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

}  // namespace
}  // namespace airlock::shared_memory_test
