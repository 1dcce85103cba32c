#include "airlock/model/normalizer.h"

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/model/lowercase.h"

namespace airlock::normalizer_test {
namespace {

std::string normalize(const std::string& text, const std::vector<NormalizerStep>& steps) {
  return Normalizer(steps, "test").apply(text);
}

TEST(Normalizer, PrependsAndReplacesInOrder) {
  const std::vector<NormalizerStep> steps = {{NormalizerStep::kPrepend, "", "▁"},
                                             {NormalizerStep::kReplace, " ", "▁"}};
  EXPECT_EQ(normalize("a b", steps), "▁a▁b");
  EXPECT_EQ(normalize("", steps), "");
  EXPECT_EQ(normalize("aaa", {{NormalizerStep::kReplace, "aa", "a"}}), "aa");
}

/// What `tokenizers` 0.23.3 makes of them.
TEST(Normalizer, ReplacesTheMatchesOfARegexAndEmptyOnesToo) {
  const auto replaced = [](const std::string& regex, const std::string& to,
                           const std::string& text) {
    return normalize(text, {{NormalizerStep::kReplaceMatches, regex, to}});
  };
  EXPECT_EQ(replaced("\\s+", " ", "ab  ba"), "ab ba");
  EXPECT_EQ(replaced("^", ">", "xabbx\ny"), ">xabbx\n>y");
  EXPECT_EQ(replaced("$", "E", "xabbx\ny"), "xabbxE\nyE");
  EXPECT_EQ(replaced("b*", "B", "xabbx\ny"), "BxBaBxB\nByB");
  EXPECT_EQ(replaced("(?=a)", "X", "ab  ba"), "Xab  bXa");
  EXPECT_EQ(replaced("(a)", "$1\\1", "a"), "$1\\1");
  EXPECT_THROW(replaced("\\w", "", "a"), Error);
}

TEST(Normalizer, LowerCaseIsByCharacterInEveryScript) {
  const std::vector<NormalizerStep> lower = {{NormalizerStep::kLowercase, "", ""}};
  EXPECT_EQ(normalize("ABC ÄÖÜẞ ΑΣ ЖЀ ǅ Ⅷ Ⓐ 𐐀 123", lower), "abc äöüß ασ жѐ ǆ ⅷ ⓐ 𐐨 123");
  EXPECT_EQ(normalize("İI", lower), "i\u0307i");
  EXPECT_EQ(lower_case(U'Z'), U'z');
  EXPECT_EQ(lower_case(0x101), 0x101U);  // between two capitals of a row of every other character
  EXPECT_EQ(lower_case(0x10FFFF), 0x10FFFFU);
}

TEST(Normalizer, StripTakesWhiteSpaceOffTheEnds) {
  const auto stripped = [](bool left, bool right) {
    return normalize("\u3000 a b\t", {{NormalizerStep::kStrip, "", "", left, right}});
  };
  EXPECT_EQ(stripped(true, false), "a b\t");
  EXPECT_EQ(stripped(false, true), "\u3000 a b");
  EXPECT_EQ(stripped(true, true), "a b");
  EXPECT_EQ(normalize(" \n", {{NormalizerStep::kStrip, "", "", true, true}}), "");
}

}  // namespace
}  // namespace airlock::normalizer_test
