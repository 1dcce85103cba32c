#include "airlock/worker/shared_segments.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/fake_backend.h"

namespace airlock {
namespace {

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
  const SharedMemory memory = SharedMemory::create(4096);
  segments.add(ShareMessage{number, 4096}, Fd(::dup(memory.file())));
}

TEST(SharedSegments, TheBackendHearsOfEachWhileItIsMapped) {
  ListeningBackend backend;
  SharedSegments segments(1 << 20, &backend);
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
  SharedSegments segments(4096, &backend);
  add(segments, 1);
  EXPECT_THROW(add(segments, 2), Error);  // past the budget
  EXPECT_EQ(backend.shared.size(), 1U);
}

}  // namespace
}  // namespace airlock
