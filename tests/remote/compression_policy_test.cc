#include "airlock/remote/compression_policy.h"

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::compression_policy_test {
namespace {

/// [rows, 512] f32 in memory of its own.
class Floats {
 public:
  Floats(std::int64_t rows, bool random) : values_(static_cast<std::size_t>(rows) * 512) {
    std::mt19937_64 bits(5);
    // Uniform over all bit patterns (but the exponent's last bit): nothing to compress.
    if (random) {
      for (float& value : values_) {
        const auto word = static_cast<std::uint32_t>(bits()) & 0xff7fffffU;
        std::memcpy(&value, &word, sizeof value);
      }
    }
    spec_ = {DType::kF32, {rows, 512}};
  }
  [[nodiscard]] ConstTensor tensor() const {
    return {spec_, reinterpret_cast<const std::byte*>(values_.data())};
  }

 private:
  std::vector<float> values_;
  TensorSpec spec_;
};

Call linear(Weight first) {
  Call call;
  call.op = Op::kBatchLinear;
  call.layer = 0;
  call.weights = {first};
  return call;
}

TEST(CompressionCost, IsTheSumOfItsParts) {
  EXPECT_DOUBLE_EQ(plain_ms(1e6, 1e8), 10);
  EXPECT_DOUBLE_EQ(plain_ms(1e6, 0), 0);
  // 1 MB at ratio 2 over 100 MB/s, encoded at 1 GB/s, decoded at 2 GB/s.
  EXPECT_DOUBLE_EQ(compressed_ms(1e6, 1e8, {2, 1e9, 2e9}), 5 + 1 + 0.5);
}

class Policy : public ::testing::Test {
 protected:
  Compression input(CompressionPolicy& policy, const Call& call, const Floats& floats) {
    return policy.for_input(call, 0, floats.tensor(), codec, pool);
  }
  TensorCodec codec;
  BufferPool pool;
};

TEST_F(Policy, ZstdCompressesAllButSmallTensors) {
  const Floats large(64, true);
  const Floats small(4, false);
  CompressionPolicy policy(CompressMode::kZstd, 0, 0);
  EXPECT_EQ(input(policy, linear(Weight::kO), large), Compression::kZstd);
  EXPECT_EQ(input(policy, linear(Weight::kO), small), Compression::kNone);
  EXPECT_EQ(policy.for_reply(linear(Weight::kO), 1 << 20), Compression::kZstd);
  EXPECT_EQ(policy.for_reply(linear(Weight::kO), 100), Compression::kNone);
}

TEST_F(Policy, AutoCompressesWhatShrinksOnASlowLink) {
  CompressionPolicy policy(CompressMode::kAuto, 1e5, 1e5);
  EXPECT_NE(input(policy, linear(Weight::kO), Floats(64, false)), Compression::kNone);
}

TEST_F(Policy, AutoLeavesWhatDoesNotShrinkEvenOnASlowLink) {
  CompressionPolicy policy(CompressMode::kAuto, 1e5, 1e5);
  EXPECT_EQ(input(policy, linear(Weight::kO), Floats(64, true)), Compression::kNone);
}

TEST_F(Policy, AutoLeavesEverythingOnAFastOrUnknownLink) {
  for (const double rate : {0.0, 1e13}) {
    CompressionPolicy policy(CompressMode::kAuto, rate, rate);
    EXPECT_EQ(input(policy, linear(Weight::kO), Floats(64, false)), Compression::kNone);
  }
}

TEST_F(Policy, DirectionsAreDecidedByTheirOwnRates) {
  CompressionPolicy policy(CompressMode::kAuto, 1e13, 1e5);
  const Call call = linear(Weight::kGate);
  EXPECT_EQ(policy.for_reply(call, 1 << 20), Compression::kNone) << "nothing was seen yet";
  policy.saw_output(call, 1, Floats(64, false).tensor(), codec, pool);
  EXPECT_NE(policy.for_reply(call, 1 << 20), Compression::kNone);
  EXPECT_EQ(input(policy, call, Floats(64, false)), Compression::kNone);
}

TEST_F(Policy, EveryMatrixAndBothProductsOfAttentionHaveVerdictsOfTheirOwn) {
  CompressionPolicy policy(CompressMode::kAuto, 1e5, 1e5);
  const Floats shrinks(64, false);
  const Floats noise(64, true);
  Call scores;
  scores.op = Op::kMatmul;
  scores.transpose_b = true;
  Call mixed = scores;
  mixed.transpose_b = false;
  EXPECT_NE(input(policy, mixed, shrinks), Compression::kNone);
  EXPECT_EQ(input(policy, scores, noise), Compression::kNone);
  EXPECT_EQ(input(policy, linear(Weight::kO), noise), Compression::kNone);
  EXPECT_NE(input(policy, linear(Weight::kDown), shrinks), Compression::kNone);
  EXPECT_NE(input(policy, mixed, shrinks), Compression::kNone);
}

TEST_F(Policy, ATrialIsRepeatedWhenDataHaveChanged) {
  CompressionPolicy policy(CompressMode::kAuto, 1e5, 1e5);
  const Call call = linear(Weight::kO);
  EXPECT_EQ(input(policy, call, Floats(64, true)), Compression::kNone);
  const Floats shrinks(64, false);
  int calls = 1;
  while (input(policy, call, shrinks) == Compression::kNone && calls < 1000) ++calls;
  EXPECT_EQ(calls, CompressionPolicy::kTrialEvery);
}

TEST(CompressMode, HasThreeNamesAndOthersAreRefused) {
  EXPECT_EQ(parse_compress_mode("none"), CompressMode::kNone);
  EXPECT_EQ(parse_compress_mode("zstd"), CompressMode::kZstd);
  EXPECT_EQ(parse_compress_mode("auto"), CompressMode::kAuto);
  for (const auto& [name, text] :
       {std::pair{"zst", "did you mean `zstd`"}, {"lz4", "lz4 was removed, use zstd"}}) {
    try {
      parse_compress_mode(name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace airlock::compression_policy_test
