#include "airlock/core/utf8.h"

#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace airlock::utf8_test {
namespace {

const std::string kR{kReplacement};

TEST(Utf8, EachMaximalIllFormedSubpartBecomesOneReplacement) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ""},
      {"plain é€🙂", "plain é€🙂"},
      // Unicode 16, tables 3-8 to 3-11.
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", kR + kR + kR + kR + kR + kR + kR + kR + "A"},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", kR + kR + kR + kR + kR + kR + kR + kR + "A"},
      {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", kR + kR + kR + kR + kR + "A" + kR + kR + "B"},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", kR + kR + kR + kR + "A"},
      {"a\xF0\x9F\x98", "a" + kR},
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
  };
  for (const auto& [bytes, expected] : cases) {
    EXPECT_EQ(replace_ill_formed(bytes), expected) << ::testing::PrintToString(bytes);
    EXPECT_EQ(is_utf8(bytes), bytes == expected) << ::testing::PrintToString(bytes);
  }
}

TEST(Utf8, EveryScalarValueComesBackFromItsBytes) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string bytes;
    append_utf8(c, bytes);
    ASSERT_TRUE(is_utf8(bytes)) << static_cast<unsigned>(c);
    ASSERT_EQ(utf8_code_point(bytes), c);
  }
}

TEST(Utf8, PiecesOfAnySizeGiveTheSameTextAsTheWhole) {
  std::mt19937 random(2);
  const std::string likely = "a\x80\xBF\xC3\xA9\xE2\x82\xAC\xED\xA0\xF0\x9F\x98\x80\xF4\x90\xFF";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (std::size_t size = random() % 20; bytes.size() < size;)
      bytes += likely[random() % likely.size()];
    Utf8Stream stream;
    std::string text;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = 1 + random() % 4;
      stream.push(std::string_view(bytes).substr(at, size), text);
      EXPECT_TRUE(is_utf8(text));
      at += size;
    }
    stream.flush(text);
    EXPECT_EQ(text, replace_ill_formed(bytes)) << ::testing::PrintToString(bytes);
  }
}

}  // namespace
}  // namespace airlock::utf8_test
