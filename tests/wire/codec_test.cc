#include "airlock/wire/codec.h"

#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"

#include "tests/support/count_allocations.h"
#include "tests/support/tensor_contents.h"

namespace airlock::codec_test {
namespace {

using testing::bytes_of;
using testing::kTensorContents;
using Bytes = testing::TensorBytes;
using ::testing::HasSubstr;

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kI8};
constexpr std::byte kGuard{0xa5};

struct Threads {
  explicit Threads(int count) { set_threads(count); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { set_threads(0); }
};

std::string describe(const char* content, Compression compression, const TensorSpec& spec) {
  return std::string(content) + " " + std::string(compression_name(compression)) + " " +
         std::string(dtype_name(spec.dtype)) + " " + spec.shape.to_string();
}

/// Packs into exactly what encoded_bound asks for.
Bytes encode(TensorCodec& codec, Compression compression, const TensorSpec& spec,
             const Bytes& raw) {
  Bytes out(encoded_bound(spec) + 1, kGuard);
  const std::size_t used =
      codec.encode(compression, {spec, raw.data()}, std::span(out).first(out.size() - 1));
  EXPECT_LT(used, out.size());
  EXPECT_EQ(out.back(), kGuard);
  out.resize(used);
  return out;
}

/// Throws what TensorCodec::decode throws; in no case may anything behind the tensor be written.
Bytes decode(TensorCodec& codec, Compression compression, const TensorSpec& spec,
             const Bytes& encoded) {
  Bytes raw(bytes_of(spec) + 1, kGuard);
  try {
    codec.decode(compression, encoded, {spec, raw.data()});
  } catch (const Error&) {
    EXPECT_EQ(raw.back(), kGuard);
    throw;
  }
  EXPECT_EQ(raw.back(), kGuard);
  raw.pop_back();
  return raw;
}

/// What the Error says with which decode refuses the bytes, or "" if it takes them.
std::string refusal(TensorCodec& codec, Compression compression, const TensorSpec& spec,
                    const Bytes& encoded) {
  try {
    decode(codec, compression, spec, encoded);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocol) << error.what();
    return error.what();
  }
}

double ratio_of(TensorCodec& codec, const TensorSpec& spec, const Bytes& raw) {
  return static_cast<double>(raw.size()) /
         static_cast<double>(encode(codec, Compression::kZstd, spec, raw).size());
}

TEST(TensorCodec, EveryTensorComesBackBitForBitWithinItsBound) {
  const Shape shapes[] = {{},         {0},        {0, 7},    {5, 0},       {1},
                          {3},        {7, 13},    {1, 4097}, {2, 3, 1000}, {257, 257},
                          {65536, 1}, {1, 65537}, {3, 65536}};
  TensorCodec codec;
  for (const int count : {1, 3}) {
    const Threads threads(count);
    for (const auto& content : kTensorContents) {
      for (const DType dtype : kDTypes) {
        for (const Shape& shape : shapes) {
          const TensorSpec spec{dtype, shape};
          const Bytes raw = content.make(spec);
          for (const Compression compression : {Compression::kNone, Compression::kZstd}) {
            SCOPED_TRACE(describe(content.name, compression, spec));
            const Bytes encoded = encode(codec, compression, spec, raw);
            ASSERT_EQ(decode(codec, compression, spec, encoded), raw);
          }
        }
      }
    }
  }
}

TEST(TensorCodec, TheBytesDoNotDependOnTheThreads) {
  const TensorSpec spec{DType::kBF16, {5, 65536}};
  const Bytes raw = testing::masked(spec);
  TensorCodec codec;
  const auto by_threads = [&](int count) {
    const Threads threads(count);
    return encode(codec, Compression::kZstd, spec, raw);
  };
  const Bytes alone = by_threads(1);
  for (const int count : {2, 4, 7}) EXPECT_EQ(by_threads(count), alone) << count;
}

TEST(TensorCodec, TheBoundIsTheTensorAndItsTable) {
  EXPECT_EQ(encoded_bound({DType::kF32, {0}}), 0U);
  EXPECT_EQ(encoded_bound({DType::kF32, {3}}), 12U + 4 * 4);
  EXPECT_EQ(encoded_bound({DType::kBF16, {2, 65536}}), 4U * 65536 + 2 * 2 * 4);
  EXPECT_EQ(encoded_bound({DType::kF16, {1, 65537}}), 2U * 65537 + 2 * 2 * 4);
  EXPECT_EQ(encoded_bound({DType::kI8, {2, 10}}), 20U + 2 * 4 + 4);
  EXPECT_EQ(encoded_bound({DType::kI64, {10}}), 80U);
}

TEST(TensorCodec, ShrinksWhatThereIsToShrink) {
  TensorCodec codec;
  // The sign and exponent of a Gaussian have 2.6 bits of 8, next to which an f16 keeps 2 of its
  // mantissa.
  const std::pair<DType, double> least[] = {
      {DType::kF32, 1.19}, {DType::kBF16, 1.48}, {DType::kF16, 1.17}, {DType::kI8, 1.1}};
  for (const auto& [dtype, ratio] : least) {
    const TensorSpec spec{dtype, {64, 4096}};
    SCOPED_TRACE(dtype_name(dtype));
    EXPECT_GT(ratio_of(codec, spec, testing::gaussian(spec)), ratio);
    EXPECT_GT(ratio_of(codec, spec, testing::masked(spec)), 1.85);
    EXPECT_GT(ratio_of(codec, spec, testing::repeated_heads(spec)), 3.5);
    EXPECT_GT(ratio_of(codec, spec, testing::zeros(spec)), 900);
    EXPECT_GT(ratio_of(codec, spec, testing::random_bytes(spec)), 0.9998);
  }
}

/// {0x01, 0x02} from "\x01\x02".
Bytes literal(std::string_view text) {
  const auto* at = reinterpret_cast<const std::byte*>(text.data());
  return {at, at + text.size()};
}

TEST(TensorCodec, ReadsWhatTheProtocolDescribes) {
  using namespace std::string_view_literals;
  TensorCodec codec;
  // bf16 [3]: the low bytes 1, 2, 3 stored, the high byte 0x3f repeated.
  const Bytes bf16 = literal("\x03\0\0\0\x01\0\0\xc0\x01\x02\x03\x3f"sv);
  EXPECT_EQ(decode(codec, Compression::kZstd, {DType::kBF16, {3}}, bf16),
            literal("\x01\x3f\x02\x3f\x03\x3f"sv));
  // int8 [1, 13]: a zstd frame of 13 bytes in one block that repeats a byte, then the row's scale.
  const Bytes int8 = literal("\x0a\0\0\x80\x28\xb5\x2f\xfd\x20\x0d\x6b\0\0\x07\0\0\x80\x3f"sv);
  EXPECT_EQ(decode(codec, Compression::kZstd, {DType::kI8, {1, 13}}, int8),
            literal("\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\0\0\x80\x3f"sv));
}

TEST(TensorCodec, EveryTruncationAndEveryByteMoreIsRefused) {
  TensorCodec codec;
  for (const DType dtype : kDTypes) {
    const TensorSpec spec{dtype, {3, 300}};
    SCOPED_TRACE(dtype_name(dtype));
    const Bytes encoded = encode(codec, Compression::kZstd, spec, testing::masked(spec));
    for (std::size_t length = 0; length < encoded.size(); ++length) {
      const Bytes cut(encoded.data(), encoded.data() + length);
      EXPECT_NE(refusal(codec, Compression::kZstd, spec, cut), "") << length;
    }
    Bytes more = encoded;
    more.push_back(std::byte{0});
    EXPECT_THAT(refusal(codec, Compression::kZstd, spec, more), HasSubstr("by its table exactly"));
  }
}

TEST(TensorCodec, NoFlippedBitDoesMoreThanChangeValuesOrBreakTheProtocol) {
  TensorCodec codec;
  int refused = 0;
  const auto flip = [&](const TensorSpec& spec, const Bytes& encoded, std::size_t bit) {
    Bytes broken = encoded;
    broken[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    refused += refusal(codec, Compression::kZstd, spec, broken).empty() ? 0 : 1;
  };
  for (const auto& content : kTensorContents) {
    for (const DType dtype : kDTypes) {
      const TensorSpec small{dtype, {3, 150}};
      const Bytes all = encode(codec, Compression::kZstd, small, content.make(small));
      for (std::size_t bit = 0; bit < 8 * all.size(); ++bit) flip(small, all, bit);
      const TensorSpec large{dtype, {2, 40000}};
      const Bytes blocks = encode(codec, Compression::kZstd, large, content.make(large));
      std::mt19937_64 engine(1);
      for (int i = 0; i < 40; ++i) flip(large, blocks, engine() % (8 * blocks.size()));
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(TensorCodec, SaysWhatIsWrongWithAPeersBytes) {
  TensorCodec codec;
  const TensorSpec spec{DType::kBF16, {2, 65536}};
  const Bytes good = encode(codec, Compression::kZstd, spec, testing::gaussian(spec));
  const auto with = [&](std::size_t at, std::byte value) {
    Bytes bytes = good;
    bytes[at] = value;
    return bytes;
  };
  EXPECT_THAT(
      refusal(codec, Compression::kZstd, spec, {good.data(), good.data() + 15}),
      HasSubstr("a tensor [2, 65536] of bf16 by zstd takes 15 bytes, expected for its table "
                "and scales at least 16"));
  EXPECT_THAT(refusal(codec, Compression::kZstd, spec, with(9, std::byte{1})),
              HasSubstr("lengths or methods in its table that block 1 cannot have"));
  EXPECT_THAT(refusal(codec, Compression::kZstd, spec, with(7, std::byte{0x40})),
              HasSubstr("lengths or methods in its table that block 0 cannot have"));
  EXPECT_THAT(refusal(codec, Compression::kZstd, spec, with(16 + 65536, std::byte{0})),
              HasSubstr("of plane 1 of block 0 are not a frame of zstd"));
  EXPECT_THAT(refusal(codec, Compression::kNone, spec, good), HasSubstr("exactly 262144"));
  EXPECT_THAT(refusal(codec, Compression::kZstd, {DType::kI64, {2}}, Bytes(16)),
              HasSubstr("a tensor of i64 by zstd, expected it not compressed"));
}

TEST(TensorCodec, RefusesToEncodeIdsAndIntoTooLittleRoom) {
  TensorCodec codec;
  const Bytes raw(80);
  Bytes out(200);
  const auto refused = [&](Compression compression, const TensorSpec& spec, std::size_t room) {
    try {
      codec.encode(compression, {spec, raw.data()}, std::span(out).first(room));
      return false;
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInvalidArgument;
    }
  };
  EXPECT_TRUE(refused(Compression::kZstd, {DType::kI64, {10}}, 200));
  EXPECT_FALSE(refused(Compression::kNone, {DType::kI64, {10}}, 80));
  EXPECT_TRUE(refused(Compression::kNone, {DType::kI64, {10}}, 79));
  EXPECT_TRUE(refused(Compression::kZstd, {DType::kF32, {20}}, 80 + 15));
  EXPECT_FALSE(refused(Compression::kZstd, {DType::kF32, {20}}, 80 + 16));
}

TEST(TensorCodec, LeavesTheHeapAloneAfterItsFirstUse) {
  const Threads threads(2);
  TensorCodec codec;
  const TensorSpec specs[] = {
      {DType::kF32, {3, 65536}}, {DType::kBF16, {4, 65536}}, {DType::kI8, {1, 100}}};
  std::vector<Bytes> raws;
  for (const TensorSpec& spec : specs) raws.push_back(testing::gaussian(spec));
  Bytes out(encoded_bound(specs[0]));
  Bytes back(bytes_of(specs[0]));
  const auto round = [&] {
    for (std::size_t i = 0; i < std::size(specs); ++i) {
      const std::size_t used = codec.encode(Compression::kZstd, {specs[i], raws[i].data()}, out);
      codec.decode(Compression::kZstd, std::span(out).first(used), {specs[i], back.data()});
    }
  };
  round();
  const std::int64_t before = testing::allocations_of_this_thread();
  for (int i = 0; i < 5; ++i) round();
  EXPECT_EQ(testing::allocations_of_this_thread() - before, 0);
}

}  // namespace
}  // namespace airlock::codec_test
