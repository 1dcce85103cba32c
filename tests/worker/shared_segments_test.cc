#include "airlock/worker/shared_segments.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/support/expect_error.h"
#include "tests/support/fake_backend.h"
#include "tests/support/leftovers.h"

namespace airlock::shared_segments_test {
namespace {

constexpr std::int64_t kPage = 4096;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

/// A runner's memory of `pages` pages and a descriptor to send.
struct Sent {
  explicit Sent(std::int64_t pages) : memory(SharedMemory::create(bytes_of(pages))) {}
  static std::size_t bytes_of(std::int64_t pages) {
    return static_cast<std::size_t>(pages * kPage);
  }
  [[nodiscard]] Fd file() const { return Fd(::fcntl(memory.file(), F_DUPFD_CLOEXEC, 0)); }
  SharedMemory memory;
};

TEST(SharedSegments, FindTensorsInWhateverOrderSegmentsCome) {
  const Sent first(1), third(2);
  SharedSegments segments(10 * kPage);
  segments.add({3, 2 * kPage}, third.file());
  segments.add({1, kPage}, first.file());
  third.memory.bytes()[64] = std::byte{7};
  first.memory.bytes()[0] = std::byte{8};
  const TensorSpec spec{DType::kF32, {16, 16}};
  EXPECT_EQ(segments.find(Place{3, 64}, spec).data[0], std::byte{7});
  EXPECT_EQ(segments.find(Place{1, 0}, spec).data[0], std::byte{8});
  EXPECT_EQ(segments.find(Place{3, kPage}, kPage).size(), static_cast<std::size_t>(kPage));
}

TEST(SharedSegments, KeepNoDescriptorAndUnmapAtTheirEnd) {
  const auto before = testing::holdings();
  {
    SharedSegments segments(10 * kPage);
    {
      const Sent sent(3);
      segments.add({1, 3 * kPage}, sent.file());
    }
    EXPECT_EQ(testing::holdings().descriptors, before.descriptors);
    EXPECT_EQ(testing::holdings().mappings, before.mappings + 1);
    segments = SharedSegments(0);
    EXPECT_EQ(testing::holdings().mappings, before.mappings);
  }
  EXPECT_TRUE(testing::holds_no_more_than(before));
}

TEST(SharedSegments, RefuseASegmentWithoutDescriptor) {
  SharedSegments segments(10 * kPage);
  expect_error(ErrorCode::kProtocol, "without its descriptor", [&] {
    segments.add({1, kPage}, Fd());
  });
}

TEST(SharedSegments, RefuseANumberTwiceAndKeepTheFirst) {
  const Sent first(1), second(1);
  first.memory.bytes()[0] = std::byte{1};
  SharedSegments segments(10 * kPage);
  segments.add({5, kPage}, first.file());
  expect_error(ErrorCode::kProtocol, "segment 5 of shared memory came twice", [&] {
    segments.add({5, kPage}, second.file());
  });
  EXPECT_EQ(segments.find(Place{5, 0}, 1)[0], std::byte{1});
}

TEST(SharedSegments, RefuseNumbersThatNoRunnerUses) {
  const Sent sent(1);
  SharedSegments segments(10 * kPage);
  for (const int number : {0, 1025, 65535}) {
    expect_error(ErrorCode::kProtocol, "expected 1 to 1024", [&] {
      segments.add({static_cast<std::uint16_t>(number), kPage}, sent.file());
    });
  }
  EXPECT_NO_THROW(segments.add({1024, kPage}, sent.file()));
}

TEST(SharedSegments, RefuseWhatPassesTheBudgetOrClaimsNothing) {
  const Sent one(1), three(3);
  SharedSegments segments(3 * kPage);
  segments.add({1, kPage}, one.file());
  for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{-1}, 2 * kPage + 1, 3 * kPage,
                                   kMost, std::numeric_limits<std::int64_t>::min()}) {
    expect_error(ErrorCode::kProtocol, "more bytes of shared memory", [&] {
      segments.add({2, bytes}, three.file());
    });
  }
  const Sent two(2);
  segments.add({2, 2 * kPage}, two.file());
  expect_error(ErrorCode::kProtocol, "more bytes of shared memory", [&] {
    segments.add({3, 1}, one.file());
  });
  SharedSegments none(0);
  expect_error(ErrorCode::kProtocol, "more bytes of shared memory", [&] {
    none.add({1, kPage}, one.file());
  });
}

TEST(SharedSegments, RefuseWhatIsNotOfTheAnnouncedSizeAndTakeTheNumberLater) {
  const Sent one(1);
  SharedSegments segments(10 * kPage);
  expect_error(ErrorCode::kProtocol, "announced 8192", [&] {
    segments.add({1, 2 * kPage}, one.file());
  });
  expect_error(ErrorCode::kProtocol, "segment 1 of 0 bytes", [&] {
    (void)segments.find(Place{1, 0}, 1);
  });
  EXPECT_NO_THROW(segments.add({1, kPage}, one.file()));
}

TEST(SharedSegments, RefusePlacesThatAreNotInsideASegment) {
  const Sent sent(2);
  SharedSegments segments(10 * kPage);
  segments.add({2, 2 * kPage}, sent.file());
  for (const int number : {0, 3, 65535}) {
    expect_error(ErrorCode::kProtocol, "of shared memory, 2 are known", [&] {
      (void)segments.find(Place{static_cast<std::uint16_t>(number), 0}, 1);
    });
  }
  expect_error(ErrorCode::kProtocol, "segment 1 of 0 bytes", [&] {
    (void)segments.find(Place{1, 0}, 1);
  });
  struct Case {
    std::int64_t offset;
    std::int64_t bytes;
  };
  for (const Case& c :
       {Case{2 * kPage, 1}, Case{0, 2 * kPage + 1}, Case{kPage, kPage + 1},
        Case{2 * kPage - 64, 65}, Case{kMost, 1}, Case{kMost, kMost}, Case{1, kMost},
        Case{64, kMost - 63}, Case{-64, 64}, Case{-64, 1}, Case{0, -1}, Case{kMost - 63, 64},
        Case{std::numeric_limits<std::int64_t>::min(), kMost}}) {
    expect_error(ErrorCode::kProtocol, "passes segment 2 of 8192 bytes", [&] {
      (void)segments.find(Place{2, c.offset}, c.bytes);
    });
  }
  EXPECT_EQ(segments.find(Place{2, 2 * kPage - 64}, 64).size(), 64U);
  EXPECT_TRUE(segments.find(Place{2, 2 * kPage}, 0).empty());
}

TEST(SharedSegments, RefuseIdsWhichCouldChangeAfterTheirCheck) {
  const Sent sent(1);
  SharedSegments segments(10 * kPage);
  segments.add({1, kPage}, sent.file());
  expect_error(ErrorCode::kProtocol, "token ids came in shared memory", [&] {
    (void)segments.find(Place{1, 0}, TensorSpec{DType::kI64, {4}});
  });
}

/// Remembers what it is told of shared memory, and whether it could be read then.
class ListeningBackend final : public testing::FakeBackend {
 public:
  void memory_shared(std::span<std::byte> memory) override {
    memory[0] = std::byte{1};
    shared.push_back(memory.data());
  }
  void memory_gone(std::span<std::byte> memory) noexcept override {
    memory[0] = std::byte{2};  // still mapped
    gone.push_back(memory.data());
  }
  std::vector<std::byte*> shared, gone;
};

void add(SharedSegments& segments, std::uint16_t number) {
  segments.add({number, kPage}, Sent(1).file());
}

TEST(SharedSegments, TheBackendHearsOfEachWhileItIsMapped) {
  ListeningBackend backend;
  SharedSegments segments(10 * kPage, &backend);
  add(segments, 2);
  add(segments, 1);
  EXPECT_EQ(backend.shared.size(), 2U);
  EXPECT_EQ(segments.find(Place{2, 0}, 1).data(), backend.shared[0]);
  EXPECT_TRUE(backend.gone.empty());
  SharedSegments moved = std::move(segments);
  EXPECT_TRUE(backend.gone.empty());
  moved = SharedSegments(0);
  std::sort(backend.shared.begin(), backend.shared.end());
  std::sort(backend.gone.begin(), backend.gone.end());
  EXPECT_EQ(backend.gone, backend.shared);
}

TEST(SharedSegments, ASegmentThatIsRefusedIsNotTold) {
  ListeningBackend backend;
  SharedSegments segments(kPage, &backend);
  add(segments, 1);
  EXPECT_THROW(add(segments, 2), Error);  // past the budget
  EXPECT_EQ(backend.shared.size(), 1U);
}

}  // namespace
}  // namespace airlock::shared_segments_test
