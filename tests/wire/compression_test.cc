#include "airlock/wire/compression.h"

#include <gtest/gtest.h>

namespace airlock {
namespace {

TEST(Compression, ValuesOnTheWireHaveNames) {
  const std::string_view names[] = {"none", "lz4", "zstd"};
  for (unsigned value = 0; value < std::size(names); ++value) {
    ASSERT_TRUE(is_compression(value));
    EXPECT_EQ(compression_name(static_cast<Compression>(value)), names[value]);
  }
}

TEST(Compression, ValuesThatNobodyKnowsAreNone) {
  EXPECT_FALSE(is_compression(3));
  EXPECT_FALSE(is_compression(255));
  EXPECT_EQ(compression_name(static_cast<Compression>(3)), "unknown");
}

}  // namespace
}  // namespace airlock
