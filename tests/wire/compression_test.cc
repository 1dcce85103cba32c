#include "airlock/wire/compression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {

using ::testing::HasSubstr;

TEST(Compression, NamesParseToWhatTheyName) {
  for (unsigned value = 0; value < 3; ++value) {
    ASSERT_TRUE(is_compression(value));
    const auto compression = static_cast<Compression>(value);
    EXPECT_EQ(parse_compression(compression_name(compression)), compression);
  }
}

TEST(Compression, AnUnknownNameIsRefusedWithThoseThereAre) {
  try {
    parse_compression("zstt");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("none, lz4, zstd"));
    EXPECT_THAT(error.what(), HasSubstr("did you mean `zstd`"));
  }
}

TEST(Compression, ValuesThatNobodyKnowsAreNone) {
  EXPECT_FALSE(is_compression(3));
  EXPECT_FALSE(is_compression(255));
  EXPECT_EQ(compression_name(static_cast<Compression>(3)), "unknown");
}

}  // namespace
}  // namespace airlock
