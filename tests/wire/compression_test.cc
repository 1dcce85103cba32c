#include "airlock/wire/compression.h"

#include <gtest/gtest.h>

namespace airlock::compression_test {
namespace {

TEST(Compression, ValuesOnTheWireHaveNames) {
  for (const auto& [value, name] : {std::pair{0U, "none"}, {2U, "zstd"}}) {
    ASSERT_TRUE(is_compression(value));
    EXPECT_EQ(compression_name(static_cast<Compression>(value)), name);
  }
}

TEST(Compression, ValuesThatNobodyKnowsAreNone) {
  for (const unsigned value : {1U, 3U, 255U}) {  // 1 was lz4
    EXPECT_FALSE(is_compression(value));
    EXPECT_EQ(compression_name(static_cast<Compression>(value)), "unknown");
  }
}

}  // namespace
}  // namespace airlock::compression_test
