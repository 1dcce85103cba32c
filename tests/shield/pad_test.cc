#include "airlock/shield/pad.h"

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace airlock::pad_test {
namespace {

// A row masks once: nothing gives a second pad with the same rows.
static_assert(!std::is_copy_constructible_v<Pad> && !std::is_copy_assignable_v<Pad>);
static_assert(std::is_nothrow_move_constructible_v<Pad> && std::is_nothrow_move_assignable_v<Pad>);
static_assert(!std::is_constructible_v<Pad, const Pad&> && !std::is_assignable_v<Pad&, const Pad&>);

struct Rows {
  std::shared_ptr<std::vector<std::uint32_t>> memory;
  explicit Rows(std::size_t count)
      : memory(std::make_shared<std::vector<std::uint32_t>>(count, 0x5ec2e7)) {}
  void add_to(Pad& pad, std::int64_t rows) const {
    PadSegment segment;
    segment.rows = rows;
    segment.input = memory->data();
    pad.add(segment, memory, {std::as_writable_bytes(std::span(*memory))});
  }
  [[nodiscard]] bool wiped() const {
    return std::ranges::all_of(*memory, [](std::uint32_t value) { return value == 0; });
  }
  [[nodiscard]] long users() const { return memory.use_count(); }
};

TEST(Pad, ItsEndWipesAndGivesBackItsRows) {
  const Rows rows(100);
  const Rows more(3);
  {
    Pad pad;
    rows.add_to(pad, 10);
    more.add_to(pad, 1);
    EXPECT_EQ(pad.rows(), 11);
    EXPECT_EQ(pad.segments().size(), 2U);
    EXPECT_EQ(rows.users(), 2);
    EXPECT_FALSE(rows.wiped());
  }
  EXPECT_TRUE(rows.wiped());
  EXPECT_TRUE(more.wiped());
  EXPECT_EQ(rows.users(), 1);
}

TEST(Pad, MovingLeavesNothingBehind) {
  const Rows rows(100);
  Pad pad;
  rows.add_to(pad, 10);
  Pad moved(std::move(pad));
  EXPECT_EQ(pad.rows(), 0);  // NOLINT(bugprone-use-after-move): the fact to prove
  EXPECT_TRUE(pad.segments().empty());
  EXPECT_EQ(moved.rows(), 10);
  EXPECT_FALSE(rows.wiped());
  pad = Pad();
  EXPECT_FALSE(rows.wiped());
  moved = Pad();
  EXPECT_TRUE(rows.wiped());
  EXPECT_EQ(rows.users(), 1);
}

TEST(Pad, AssignmentEndsWhatWasThere) {
  const Rows old(5);
  const Rows fresh(5);
  Pad pad;
  old.add_to(pad, 1);
  Pad other;
  fresh.add_to(other, 2);
  pad = std::move(other);
  EXPECT_TRUE(old.wiped());
  EXPECT_FALSE(fresh.wiped());
  EXPECT_EQ(pad.rows(), 2);
  EXPECT_EQ(other.rows(), 0);  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace airlock::pad_test
