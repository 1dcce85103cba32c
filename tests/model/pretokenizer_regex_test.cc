#include "airlock/model/pretokenizer_regex.h"

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::pretokenizer_regex_test {
namespace {

std::vector<std::string> matches(const SplitRegex& regex, const std::string& text) {
  std::vector<SplitRegex::Span> spans;
  regex.find(text, spans);
  std::vector<std::string> found;
  for (const auto& span : spans) found.push_back(text.substr(span.begin, span.end - span.begin));
  return found;
}

using Strings = std::vector<std::string>;

TEST(SplitRegex, FindsMatchesInOrder) {
  EXPECT_EQ(matches({"\\p{L}+|\\p{N}{1,3}", "t"}, "ab1234 é"), (Strings{"ab", "123", "4", "é"}));
  EXPECT_EQ(matches({"\\s+(?!\\S)|\\s+", "t"}, "a   b "), (Strings{"  ", " ", " "}));
  EXPECT_EQ(matches({"(?i:'s|'ll)", "t"}, "'S 'lL 'ſ"), (Strings{"'S", "'lL", "'ſ"}));
}

TEST(SplitRegex, EmptyMatchesCountButNotBehindAMatch) {
  EXPECT_EQ(matches({"a*", "t"}, "éaab€a"), (Strings{"", "aa", "", "a"}));
  EXPECT_EQ(matches({"(?=b)", "t"}, "abab"), (Strings{"", ""}));
  EXPECT_EQ(matches({"a*", "t"}, ""), Strings{});
}

TEST(SplitRegex, LinesBeginAndEndAsInRuby) {
  const auto places = [](const std::string& pattern, const std::string& text) {
    std::vector<SplitRegex::Span> spans;
    SplitRegex(pattern, "t").find(text, spans);
    std::vector<std::size_t> begins;
    for (const auto& span : spans) begins.push_back(span.begin);
    return begins;
  };
  using Places = std::vector<std::size_t>;
  EXPECT_EQ(places("^", "a\n\nb\n"), (Places{0, 2, 3}));  // none behind the last line break
  EXPECT_EQ(places("$", "a\n\nb\n"), (Places{1, 2, 4, 5}));
  EXPECT_EQ(matches({"^a|b$", "t"}, "ab\nab ab"), (Strings{"a", "b", "a", "b"}));
}

TEST(SplitRegex, ClassesMeanWhatTheyMeanInUnicode16) {
  EXPECT_EQ(matches({"\\s", "t"}, "\u180E\u0085\u3000\u200B"), (Strings{"\u0085", "\u3000"}));
  EXPECT_EQ(matches({"\\p{L}", "t"}, "\U00010D4A\U0001E4D0!"),
            (Strings{"\U00010D4A", "\U0001E4D0"}));
  EXPECT_EQ(matches({"[^\\s\\p{L}]", "t"}, "\U00010D4A 1"), (Strings{"1"}));
  EXPECT_EQ(matches({"\\P{L}", "t"}, "\U00010D4A-"), (Strings{"-"}));
  EXPECT_EQ(matches({"\\p{^L}", "t"}, "\U00010D4A-"), (Strings{"-"}));
  EXPECT_EQ(matches({"\\d", "t"}, "1\U000116D0²"), (Strings{"1", "\U000116D0"}));
}

TEST(SplitRegex, LiteralsMatchThemselves) {
  EXPECT_EQ(matches(SplitRegex::literal("a.b*"), "aXb a.b* a.b"), (Strings{"a.b*"}));
  EXPECT_EQ(matches(SplitRegex::literal("[\\s]{2}"), "  [\\s]{2}"), (Strings{"[\\s]{2}"}));
}

TEST(SplitRegex, RefusesWhatTheTwoLibrariesReadDifferently) {
  for (const char* pattern :
       {"\\h",        "\\w",         "\\v",     "\\b",      "\\x41",   "\\p{Greek}", "\\pL",
        "[a&&b]",     "[[:alpha:]]", "[\\S]",   "[\\P{L}]", "a{1,2}+", "a{,2}",      "(?m:a)",
        "(?<name>a)", "(?P<n>a)",    "(*FAIL)", "\\1",      "\\K",     "\\",         "[]a]"}) {
    try {
      const SplitRegex regex(pattern, "here");
      ADD_FAILURE() << pattern;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << pattern;
      EXPECT_NE(std::string(error.what()).find("here"), std::string::npos);
    }
  }
}

TEST(SplitRegex, RefusesMalformedPatterns) {
  for (const char* pattern : {"(a", "a)", "[a", "*", "\xFF", "\\x{110000}", "a{3,1}"}) {
    try {
      const SplitRegex regex(pattern, "here");
      ADD_FAILURE() << pattern;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile) << pattern;
    }
  }
}

TEST(SplitRegex, GivesUpWithAnErrorWhereAPatternBacktracksWithoutBound) {
  const SplitRegex regex("(a+a+)+b", "here");
  std::vector<SplitRegex::Span> spans;
  EXPECT_THROW(regex.find(std::string(200, 'a') + "cb", spans), Error);
}

}  // namespace
}  // namespace airlock::pretokenizer_regex_test
