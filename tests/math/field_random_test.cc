#include "airlock/math/field_random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/math/field.h"

namespace airlock::field_random_test {
namespace {

using Block = std::array<std::uint8_t, 16>;

std::uint8_t times_x(std::uint8_t a) {
  return static_cast<std::uint8_t>((a << 1) ^ ((a & 0x80) != 0 ? 0x1b : 0));
}
std::uint8_t gf_mul(std::uint8_t a, std::uint8_t b) {
  std::uint8_t product = 0;
  for (; b != 0; b >>= 1, a = times_x(a)) product ^= (b & 1) != 0 ? a : 0;
  return product;
}
std::uint8_t substitute(std::uint8_t a) {
  std::uint8_t inverse = 1;  // a^254
  for (int i = 0; i < 254; ++i) inverse = gf_mul(inverse, a);
  std::uint8_t result = 0x63;
  for (int i = 0; i < 5; ++i) {
    result ^= static_cast<std::uint8_t>((inverse << i) | (inverse >> (8 - i)));
  }
  return result;
}

/// AES-256 by the letter of FIPS 197, for comparison with the library's.
Block aes256(const FieldSeed& key, Block state) {
  static const auto box = [] {
    std::array<std::uint8_t, 256> table{};
    for (int i = 0; i < 256; ++i) table[i] = substitute(static_cast<std::uint8_t>(i));
    return table;
  }();
  std::array<std::array<std::uint8_t, 4>, 60> w{};
  std::memcpy(w.data(), key.data(), key.size());
  std::uint8_t rcon = 1;
  for (std::size_t i = 8; i < w.size(); ++i) {
    auto t = w[i - 1];
    if (i % 8 == 0) {
      std::rotate(t.begin(), t.begin() + 1, t.end());
      for (auto& byte : t) byte = box[byte];
      t[0] ^= rcon;
      rcon = times_x(rcon);
    } else if (i % 8 == 4) {
      for (auto& byte : t) byte = box[byte];
    }
    for (std::size_t b = 0; b < 4; ++b) w[i][b] = w[i - 8][b] ^ t[b];
  }
  const auto add_key = [&](std::size_t round) {
    for (std::size_t i = 0; i < 16; ++i) state[i] ^= w[4 * round + i / 4][i % 4];
  };
  add_key(0);
  for (std::size_t round = 1; round <= 14; ++round) {
    Block shifted{};
    for (std::size_t i = 0; i < 16; ++i) shifted[i] = box[state[(i + 4 * (i % 4)) % 16]];
    state = shifted;
    if (round < 14) {
      for (std::size_t c = 0; c < 4; ++c) {
        for (std::size_t r = 0; r < 4; ++r) {
          const auto at = [&](std::size_t k) { return shifted[4 * c + (r + k) % 4]; };
          state[4 * c + r] =
              static_cast<std::uint8_t>(gf_mul(at(0), 2) ^ gf_mul(at(1), 3) ^ at(2) ^ at(3));
        }
      }
    }
    add_key(round);
  }
  return state;
}

FieldSeed counting_seed(std::uint8_t first) {
  FieldSeed seed{};
  for (std::size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<std::uint8_t>(first + i);
  return seed;
}

/// `count` words of the stream that the header describes.
std::vector<std::uint32_t> plain_stream(const FieldSeed& seed, std::uint64_t row,
                                        std::size_t count) {
  std::vector<std::uint32_t> words;
  for (std::uint64_t block = 0; words.size() < count; ++block) {
    Block counter{};
    for (std::size_t i = 0; i < 8; ++i) {
      counter[i] = static_cast<std::uint8_t>(row >> (8 * i));
      counter[15 - i] = static_cast<std::uint8_t>(block >> (8 * i));
    }
    const Block stream = aes256(seed, counter);
    for (std::size_t i = 0; i < 16; i += 4) {
      words.push_back(stream[i] | static_cast<std::uint32_t>(stream[i + 1]) << 8 |
                      static_cast<std::uint32_t>(stream[i + 2]) << 16 |
                      static_cast<std::uint32_t>(stream[i + 3]) << 24);
    }
  }
  words.resize(count);
  return words;
}

std::vector<std::uint32_t> plain_field(const std::vector<std::uint32_t>& words) {
  std::vector<std::uint32_t> elements;
  for (const std::uint32_t word : words) {
    if ((word & 0x7fffffffU) < kFieldPrime) elements.push_back(word & 0x7fffffffU);
  }
  return elements;
}

std::vector<std::uint32_t> row_of(const FieldSeed& seed, std::uint64_t row, std::size_t count) {
  std::vector<std::uint32_t> elements(count);
  expand_field_row(seed, row, elements);
  return elements;
}

void expect_uniform(const std::vector<std::uint32_t>& values) {
  constexpr std::size_t kBins = 64;
  std::array<double, kBins> high{};
  std::array<double, kBins> low{};
  for (const std::uint32_t value : values) {
    ASSERT_LT(value, kFieldPrime);
    ++high[std::uint64_t{value} * kBins / kFieldPrime];
    ++low[value % kBins];
  }
  const double expected = static_cast<double>(values.size()) / kBins;
  for (const auto* bins : {&high, &low}) {
    double chi_square = 0;
    for (const double count : *bins) chi_square += (count - expected) * (count - expected);
    // 63 degrees of freedom: mean 63, deviation 11.2.
    EXPECT_LT(chi_square / expected, 63 + 6 * 11.2);
    EXPECT_GT(chi_square / expected, 63 - 5 * 11.2);
  }
}

TEST(FieldRandom, TheTestsOwnCipherIsAes256) {
  // FIPS 197, appendix C.3.
  FieldSeed key{};
  Block plain{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::uint8_t>(0x11 * i);
  EXPECT_EQ(aes256(key, plain), (Block{0x8e, 0xa2, 0xb7, 0xca, 0x51, 0x67, 0x45, 0xbf, 0xea, 0xfc,
                                       0x49, 0x90, 0x4b, 0x49, 0x60, 0x89}));
}

TEST(FieldRandom, RowsAreTheKeystreamsWordsBelowP) {
  for (const std::uint64_t row :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x0102030405}, ~std::uint64_t{0}}) {
    const FieldSeed seed = counting_seed(static_cast<std::uint8_t>(7 * row + 3));
    const auto expected = plain_field(plain_stream(seed, row, 2500));
    ASSERT_LT(expected.size(), 2500U);  // some words are skipped
    EXPECT_EQ(row_of(seed, row, expected.size()), expected) << row;
  }
}

TEST(FieldRandom, FewerColumnsAreTheBeginningOfMore) {
  const FieldSeed seed = counting_seed(9);
  const auto longest = row_of(seed, 5, 5000);
  for (const std::size_t count : {0, 1, 2, 63, 64, 1000, 1023, 1024, 1025, 2047, 4999}) {
    const auto shorter = row_of(seed, 5, count);
    EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), longest.begin())) << count;
  }
}

TEST(FieldRandom, RowsAndSeedsDiffer) {
  const auto row = row_of(counting_seed(1), 1, 64);
  EXPECT_NE(row, row_of(counting_seed(1), 2, 64));
  EXPECT_NE(row, row_of(counting_seed(2), 1, 64));
}

TEST(FieldRandom, ElementsAreUniformBelowP) {
  expect_uniform(row_of(counting_seed(4), 0, 1'000'000));
  SecretRandom random(counting_seed(5));
  std::vector<std::uint32_t> values(1'000'000);
  random.field(values);
  expect_uniform(values);
}

TEST(FieldRandom, SecretsUnderAGivenKeyAreItsKeystream) {
  const FieldSeed key = counting_seed(77);
  const auto stream = plain_stream(key, 0, 3000);
  SecretRandom random(key);
  std::vector<std::uint32_t> words(1500);
  random.bytes(std::as_writable_bytes(std::span(words)));
  EXPECT_TRUE(std::equal(words.begin(), words.end(), stream.begin()));
  // In pieces and as a whole the rest is the same.
  const auto expected = plain_field({stream.begin() + 1500, stream.end()});
  std::vector<std::uint32_t> elements(expected.size());
  const std::size_t cut = elements.size() / 3;
  random.field(std::span(elements).first(cut));
  SecretRandom moved = std::move(random);
  moved.field(std::span(elements).subspan(cut));
  EXPECT_EQ(elements, expected);
}

TEST(FieldRandom, SecretsOfTheSystemNeverRepeat) {
  SecretRandom a;
  SecretRandom b;
  const FieldSeed first = a.seed();
  EXPECT_NE(first, a.seed());
  EXPECT_NE(first, b.seed());
  // A generator keyed by a drawn seed starts a stream of its own.
  EXPECT_NE(SecretRandom(first).seed(), first);
}

TEST(FieldRandom, WipeLeavesNothing) {
  std::vector<std::byte> memory(1000, std::byte{0x5a});
  wipe(std::span(memory).subspan(1, 998));
  EXPECT_EQ(memory.front(), std::byte{0x5a});
  EXPECT_EQ(memory.back(), std::byte{0x5a});
  EXPECT_TRUE(std::all_of(memory.begin() + 1, memory.end() - 1,
                          [](std::byte value) { return value == std::byte{0}; }));
  wipe({});
}

}  // namespace
}  // namespace airlock::field_random_test
