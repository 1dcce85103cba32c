#include "airlock/math/byte_planes.h"

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/math/targets.h"

namespace airlock::byte_planes_test {
namespace {

constexpr std::byte kGuard{0xa5};

std::vector<std::byte> random_bytes(std::size_t count) {
  std::mt19937 engine(1);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(engine());
  return bytes;
}

/// Memory for the planes of `count` elements, each plane at an odd address with guards around it.
struct Planes {
  std::vector<std::byte> memory;
  std::vector<std::byte*> at;

  Planes(std::size_t planes, std::size_t count) : memory(planes * (count + 2) + 1, kGuard) {
    for (std::size_t p = 0; p < planes; ++p) at.push_back(&memory[p * (count + 2) + 1]);
  }
  [[nodiscard]] bool guarded(std::size_t count) const {
    for (const std::byte* plane : at) {
      if (plane[-1] != kGuard || plane[count] != kGuard) return false;
    }
    return true;
  }
  [[nodiscard]] std::vector<const std::byte*> read() const { return {at.begin(), at.end()}; }
};

TEST(BytePlanes, SplitAndJoinAreTheScalarLoopsAtEveryLengthAndAlignment) {
  const std::vector<std::byte> source = random_bytes(4 * 200 + 4);
  testing::for_each_target([&] {
    for (const std::size_t planes : {1, 2, 4}) {
      for (std::size_t count = 0; count <= 200; ++count) {
        for (std::size_t offset = 0; offset < 4; ++offset) {
          SCOPED_TRACE(::testing::Message()
                       << planes << " planes of " << count << ", at " << offset);
          const std::byte* elements = source.data() + offset;
          Planes split(planes, count);
          split_byte_planes(elements, static_cast<std::int64_t>(count), split.at);
          for (std::size_t i = 0; i < count * planes; ++i) {
            ASSERT_EQ(split.at[i % planes][i / planes], elements[i]) << i;
          }
          ASSERT_TRUE(split.guarded(count));

          std::vector<std::byte> joined(offset + count * planes + 1, kGuard);
          join_byte_planes(split.read(), static_cast<std::int64_t>(count), joined.data() + offset);
          ASSERT_EQ(std::memcmp(joined.data() + offset, elements, count * planes), 0);
          ASSERT_EQ(joined.back(), kGuard);
        }
      }
    }
  });
}

TEST(BytePlanes, LongPlanesComeBackAsTheyWere) {
  constexpr std::size_t kCount = 65536 + 77;
  const std::vector<std::byte> source = random_bytes(4 * kCount);
  testing::for_each_target([&] {
    for (const std::size_t planes : {2, 4}) {
      Planes split(planes, kCount);
      split_byte_planes(source.data(), kCount, split.at);
      std::vector<std::byte> joined(planes * kCount);
      join_byte_planes(split.read(), kCount, joined.data());
      EXPECT_EQ(std::memcmp(joined.data(), source.data(), joined.size()), 0) << planes;
    }
  });
}

TEST(BytePlanes, RefuseElementsOfOtherSizes) {
  std::array<std::byte, 64> memory{};
  for (const std::size_t planes : {0, 3, 5}) {
    const std::vector<std::byte*> to(planes, memory.data());
    const std::vector<const std::byte*> from(planes, memory.data());
    EXPECT_THROW(split_byte_planes(memory.data(), 1, to), Error) << planes;
    EXPECT_THROW(join_byte_planes(from, 1, memory.data()), Error) << planes;
  }
}

}  // namespace
}  // namespace airlock::byte_planes_test
