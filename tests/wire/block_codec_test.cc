#include "airlock/wire/block_codec.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace airlock::block_codec_test {
namespace {

using Bytes = std::vector<std::byte>;

/// A block of elements of two bytes, one that nobody could guess and one of two, and how it packs.
struct Pairs {
  static constexpr std::int64_t kCount = 9000;

  BlockCodec codec;
  Bytes raw = Bytes(2 * kCount);
  Bytes entries = Bytes(2 * BlockCodec::kEntryBytes);
  Bytes packed = Bytes(2 * kCount);
  std::size_t used = 0;

  Pairs() {
    std::mt19937 engine(1);
    for (std::size_t i = 0; i < raw.size(); i += 2) {
      raw[i] = static_cast<std::byte>(engine());
      raw[i + 1] = static_cast<std::byte>(engine() % 2);
    }
    used = codec.encode(raw.data(), kCount, 2, entries.data(), packed.data());
  }
};

TEST(BlockCodec, PacksEachPlaneAsSuitsIt) {
  Pairs pairs;
  const PackedPlane low = BlockCodec::entry(&pairs.entries[0]);
  const PackedPlane high = BlockCodec::entry(&pairs.entries[4]);
  EXPECT_EQ(low.method, PlaneMethod::kStored);
  EXPECT_EQ(low.bytes, 9000U);
  EXPECT_EQ(pairs.packed[1], pairs.raw[2]) << "planes come from the lowest byte to the highest";
  EXPECT_EQ(high.method, PlaneMethod::kZstd);
  EXPECT_LT(high.bytes, 9000U / 5);
  EXPECT_EQ(pairs.used, low.bytes + high.bytes);
  EXPECT_EQ(BlockCodec::packed_bytes(pairs.entries.data(), Pairs::kCount, 2), pairs.used);

  Bytes back(pairs.raw.size());
  const BlockFault fault =
      pairs.codec.decode(pairs.entries.data(), pairs.packed.data(), Pairs::kCount, 2, back.data());
  EXPECT_EQ(fault.what, nullptr);
  EXPECT_EQ(back, pairs.raw);
}

TEST(BlockCodec, NamesThePlaneThatCannotBeRead) {
  Pairs pairs;
  pairs.packed[Pairs::kCount] = std::byte{0};  // of the second plane's magic number
  Bytes back(pairs.raw.size());
  const BlockFault fault =
      pairs.codec.decode(pairs.entries.data(), pairs.packed.data(), Pairs::kCount, 2, back.data());
  EXPECT_STREQ(fault.what, "not a frame of zstd");
  EXPECT_EQ(fault.plane, 1U);
  EXPECT_EQ(fault.bytes, BlockCodec::entry(&pairs.entries[4]).bytes);
}

TEST(BlockCodec, RefusesEntriesThatNoBlockHas) {
  const struct {
    std::uint32_t method, bytes;
    bool sound;  ///< whether a plane of 1000 bytes may have this entry
  } cases[] = {
      {0, 1000, true},  {0, 999, false},        {0, 1001, false},       {0, 0, false},
      {1, 999, false},  // was an lz4 block
      {1, 1, false},    {2, 999, true},         {2, 1, true},           {2, 0, false},
      {2, 1000, false}, {3, 1, true},           {3, 0, false},          {3, 2, false},
      {3, 1000, false}, {0, 0x3fffffff, false}, {2, 0x3fffffff, false},
  };
  for (const auto& c : cases) {
    Bytes entry;
    for (int shift = 0; shift < 32; shift += 8) {
      entry.push_back(static_cast<std::byte>((c.method << 30 | c.bytes) >> shift));
    }
    EXPECT_EQ(BlockCodec::packed_bytes(entry.data(), 1000, 1), c.sound ? c.bytes : 0)
        << c.method << " " << c.bytes;
  }
}

}  // namespace
}  // namespace airlock::block_codec_test
