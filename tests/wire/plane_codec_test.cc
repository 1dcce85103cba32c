#include "airlock/wire/plane_codec.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <zstd.h>

namespace airlock::plane_codec_test {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::size_t count) {
  std::mt19937 engine(1);
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(engine());
  return bytes;
}

/// Independent bytes of unequal frequency, as exponents are: 2 bits of entropy each.
Bytes skewed_bytes(std::size_t count) {
  std::mt19937 engine(2);
  std::geometric_distribution<int> geometric(0.5);
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(0x3f - geometric(engine));
  return bytes;
}

/// 128 bytes that nobody could guess, four times; then 128 others.
Bytes repeating_bytes(std::size_t count) {
  Bytes bytes = random_bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = bytes[i / 512 * 512 + i % 128];
  return bytes;
}

Bytes zeros(std::size_t count) {
  return Bytes(count);
}

struct Case {
  const char* name;
  Bytes (*make)(std::size_t count);
  PlaneSearch suits;
};
const Case kCases[] = {
    {"random", random_bytes, PlaneSearch::kNone},
    {"skewed", skewed_bytes, PlaneSearch::kCoarse},
    {"repeating", repeating_bytes, PlaneSearch::kFine},
    {"zeros", zeros, PlaneSearch::kSame},
};

TEST(PlaneCodec, JudgesWhatThereIsToGain) {
  PlaneCodec codec;
  for (const Case& c : kCases) {
    const Bytes sample = c.make(PlaneCodec::kMaxSample);
    EXPECT_EQ(codec.judge(sample), c.suits) << c.name;
  }
}

TEST(PlaneCodec, EverySearchOnEveryPlaneRoundTripsWithinItsRoom) {
  PlaneCodec codec;
  for (const Case& c : kCases) {
    for (const std::size_t size : {1, 2, 3, 12, 13, 100, 4096, 65535, 65536}) {
      const Bytes plane = c.make(size);
      for (const PlaneSearch search :
           {PlaneSearch::kNone, PlaneSearch::kCoarse, PlaneSearch::kFine, PlaneSearch::kSame}) {
        SCOPED_TRACE(::testing::Message()
                     << c.name << ", " << size << " bytes, search " << static_cast<int>(search));
        Bytes out(size + 1, std::byte{0xa5});
        const PackedPlane packed = codec.encode(search, plane, out.data());
        EXPECT_EQ(out.back(), std::byte{0xa5});
        ASSERT_GE(packed.bytes, 1U);
        if (packed.method == PlaneMethod::kStored) {
          ASSERT_EQ(packed.bytes, size);
          EXPECT_EQ(std::memcmp(out.data(), plane.data(), size), 0);
          continue;
        }
        EXPECT_TRUE(packed.bytes < size || size == 1);
        Bytes back(size);
        ASSERT_EQ(codec.decode(packed.method, std::span(out).first(packed.bytes), back), nullptr);
        EXPECT_EQ(back, plane);
      }
    }
  }
}

TEST(PlaneCodec, WhatItPacksThePlainLibraryReads) {
  PlaneCodec codec;
  const Bytes plane = skewed_bytes(PlaneCodec::kMaxPlane);
  Bytes out(plane.size());
  Bytes back(plane.size());
  const PackedPlane zstd = codec.encode(PlaneSearch::kCoarse, plane, out.data());
  ASSERT_EQ(zstd.method, PlaneMethod::kZstd);
  EXPECT_LT(zstd.bytes, plane.size() * 27 / 100) << "its entropy is 2 of 8 bits";
  EXPECT_EQ(ZSTD_decompress(back.data(), back.size(), out.data(), zstd.bytes), plane.size());
  EXPECT_EQ(back, plane);
}

Bytes frame_of(const Bytes& plane) {
  Bytes frame(ZSTD_compressBound(plane.size()));
  frame.resize(ZSTD_compress(frame.data(), frame.size(), plane.data(), plane.size(), 1));
  return frame;
}

Bytes frame_without_length(const Bytes& plane) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  Bytes frame(ZSTD_compressBound(plane.size()));
  frame.resize(ZSTD_compress2(context, frame.data(), frame.size(), plane.data(), plane.size()));
  ZSTD_freeCCtx(context);
  return frame;
}

Bytes joined(Bytes first, const Bytes& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end) {
  return {bytes.data() + begin, bytes.data() + end};
}

TEST(PlaneCodec, OnlyOneFrameOfThePlanesLengthIsRead) {
  const Bytes plane = skewed_bytes(10000);
  const Bytes good = frame_of(plane);
  Bytes skippable(8);  // of no bytes
  const unsigned char magic[] = {0x50, 0x2a, 0x4d, 0x18};
  std::memcpy(skippable.data(), magic, sizeof(magic));
  Bytes ancestor = good;
  ancestor[0] = std::byte{0x27};  // zstd 0.7
  Bytes broken = good;
  std::fill_n(broken.begin() + 20, 40, std::byte{0xff});
  const char* not_a_frame = "not a frame of zstd";
  const char* not_one = "not exactly one frame of zstd";
  const char* length = "a frame of zstd of another length";
  const struct {
    const char* name;
    Bytes bytes;
    const char* wrong;
  } cases[] = {
      {"good", good, nullptr},
      {"empty", {}, not_a_frame},
      {"three bytes", part(good, 0, 3), not_a_frame},
      {"a magic number alone", part(good, 0, 4), length},
      {"cut", part(good, 0, good.size() - 1), not_one},
      {"a byte more", joined(good, Bytes(1)), not_one},
      {"two halves", joined(frame_of(part(plane, 0, 5000)), frame_of(part(plane, 5000, 10000))),
       length},
      {"an empty frame behind", joined(good, frame_of({})), not_one},
      {"a skippable frame in front", joined(skippable, good), not_a_frame},
      {"a skippable frame behind", joined(good, skippable), not_one},
      {"shorter", frame_of(part(plane, 1, 10000)), length},
      {"longer", frame_of(joined(plane, Bytes(1))), length},
      {"of unknown length", frame_without_length(plane), length},
      {"of an older zstd", ancestor, not_a_frame},
      {"broken", broken, "a broken frame of zstd"},
  };
  PlaneCodec codec;
  for (const auto& c : cases) {
    Bytes back(plane.size());
    const char* wrong = codec.decode(PlaneMethod::kZstd, c.bytes, back);
    EXPECT_STREQ(wrong, c.wrong) << c.name;
    EXPECT_TRUE(wrong != nullptr || back == plane) << c.name;
  }
  Bytes back(plane.size());
  EXPECT_EQ(codec.decode(PlaneMethod::kZstd, good, back), nullptr) << "after all these";
  EXPECT_EQ(back, plane);
}

}  // namespace
}  // namespace airlock::plane_codec_test
