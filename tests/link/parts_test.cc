#include "airlock/link/parts.h"

#include <array>
#include <vector>

#include <gtest/gtest.h>
#include <sys/uio.h>

namespace airlock::parts_test {
namespace {

using Spans = std::vector<std::span<const std::byte>>;

TEST(PartCursor, IsDoneAtOnceWithoutBytes) {
  EXPECT_TRUE(PartCursor<const std::byte>().done());
  const Spans empty(3);
  const PartCursor<const std::byte> cursor(empty);
  EXPECT_TRUE(cursor.done());
  EXPECT_TRUE(cursor.front().empty());
}

TEST(PartCursor, VisitsEveryByteWhateverTheStep) {
  std::array<std::byte, 60> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  const std::span<const std::byte> all(bytes);
  const Spans parts = {{}, all.first(1),    {}, all.subspan(1, 20), all.subspan(21, 3),
                       {}, all.subspan(24), {}};
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    PartCursor<const std::byte> cursor(parts);
    for (std::size_t at = 0; at < bytes.size();) {
      ASSERT_EQ(cursor.left(), bytes.size() - at);
      ASSERT_EQ(cursor.front().data(), bytes.data() + at);
      const std::size_t count = std::min(step, cursor.left());
      cursor.advance(count);
      at += count;
    }
    EXPECT_TRUE(cursor.done());
  }
}

TEST(PartCursor, FillsVectorsFromWhereItStands) {
  const std::array<std::byte, 30> bytes{};
  const std::span<const std::byte> all(bytes);
  const Spans parts = {all.first(10), {}, all.subspan(10, 10), all.subspan(20)};
  PartCursor<const std::byte> cursor(parts);
  cursor.advance(4);
  std::array<iovec, 8> out{};
  ASSERT_EQ(cursor.fill(std::span<iovec>(out)), 3u);
  EXPECT_EQ(out[0].iov_base, bytes.data() + 4);
  EXPECT_EQ(out[0].iov_len, 6u);
  EXPECT_EQ(out[1].iov_base, bytes.data() + 10);
  EXPECT_EQ(out[1].iov_len, 10u);
  EXPECT_EQ(out[2].iov_len, 10u);
  EXPECT_EQ(cursor.fill(std::span<iovec>(out).first(2)), 2u);
  cursor.advance(26);
  EXPECT_EQ(cursor.fill(std::span<iovec>(out)), 0u);
}

TEST(PartCursor, FillsSpansUpToALimitOfBytes) {
  const std::array<std::byte, 30> bytes{};
  const std::span<const std::byte> all(bytes);
  const Spans parts = {all.first(10), {}, all.subspan(10, 10), all.subspan(20)};
  PartCursor<const std::byte> cursor(parts);
  cursor.advance(4);
  std::array<std::span<const std::byte>, 8> out;
  ASSERT_EQ(cursor.fill(out, 9), 2u);
  EXPECT_EQ(out[0].data(), bytes.data() + 4);
  EXPECT_EQ(out[0].size(), 6u);
  EXPECT_EQ(out[1].data(), bytes.data() + 10);
  EXPECT_EQ(out[1].size(), 3u);
  EXPECT_EQ(cursor.fill(out, 6), 1u);
  EXPECT_EQ(cursor.fill(out, 1000), 3u);
  EXPECT_EQ(cursor.fill(std::span(out).first(2), 1000), 2u);
  EXPECT_EQ(cursor.left(), 26u);
  cursor.advance(26);
  EXPECT_EQ(cursor.fill(out, 1000), 0u);
}

}  // namespace
}  // namespace airlock::parts_test
