#include "airlock/engine/stop_texts.h"

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock::stop_texts_test {
namespace {

struct Result {
  std::string text;
  bool stopped = false;
  bool operator==(const Result&) const = default;
};

Result run(StopTexts& stops, const std::vector<std::string>& pieces) {
  Result result;
  for (const std::string& piece : pieces) {
    result.stopped = stops.push(piece, result.text);
    if (result.stopped) return result;
  }
  stops.flush(result.text);
  return result;
}

/// By definition: the stop that ends first, of those the longest.
Result expected(const std::vector<std::string>& stops, const std::string& text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

TEST(StopTexts, StopBeforeTheFirstThatIsCompleteAcrossPieces) {
  struct Case {
    std::vector<std::string> stops;
    std::vector<std::string> pieces;
    Result result;
  };
  for (const Case& c : {
           Case{{}, {"a", "b"}, {"ab", false}},
           Case{{"b"}, {"a", "b", "c"}, {"a", true}},
           Case{{"END"}, {"xE", "N", "", "Dy"}, {"x", true}},
           Case{{"END"}, {"xE", "N"}, {"xEN", false}},
           Case{{"aab"}, {"a", "a", "a", "b"}, {"a", true}},
           Case{{"bcd", "c"}, {"abcd"}, {"ab", true}},
           Case{{"c", "bc"}, {"ab", "c"}, {"a", true}},
           Case{{"\n\n"}, {"a\n", "b\n", "\n"}, {"a\nb", true}},
           Case{{"é"}, {"è", "é"}, {"è", true}},
       }) {
    StopTexts stops(c.stops);
    EXPECT_EQ(run(stops, c.pieces), c.result) << ::testing::PrintToString(c.pieces);
    EXPECT_EQ(run(stops, c.pieces), c.result) << "a second time, as new";
  }
}

TEST(StopTexts, HoldBackNoMoreThanWhatMayBecomeAStop) {
  StopTexts stops({"abcd", "bcx"});
  std::string text;
  const auto after = [&](const std::string& piece) {
    EXPECT_FALSE(stops.push(piece, text));
    return text;
  };
  EXPECT_EQ(after("zab"), "z");
  EXPECT_EQ(after("c"), "z");
  EXPECT_EQ(after("y"), "zabcy");
  EXPECT_EQ(after("abc"), "zabcy");
  EXPECT_EQ(after("a"), "zabcyabc");
  stops.flush(text);
  EXPECT_EQ(text, "zabcyabca");
}

TEST(StopTexts, DoNotDependOnWhereATextIsCut) {
  std::mt19937 random(7);
  const auto word = [&](std::size_t length) {
    std::string text;
    while (text.size() < length) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> texts(1 + random() % 3);
    for (std::string& text : texts) text = word(2 + random() % 6);
    const std::string text = word(random() % 25);
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size(); at += pieces.back().size()) {
      pieces.push_back(text.substr(at, 1 + random() % 5));
    }
    StopTexts stops(texts);
    const Result result = run(stops, pieces);
    ASSERT_EQ(result, expected(texts, text)) << ::testing::PrintToString(texts) << " in " << text;
    stopped += result.stopped ? 1 : 0;
  }
  EXPECT_GT(stopped, 1000);
  EXPECT_LT(stopped, 2900);
}

TEST(StopTexts, RefuseAnEmptyTextAndOneThatIsNotUtf8) {
  EXPECT_THROW(StopTexts({"a", ""}), Error);
  EXPECT_THROW(StopTexts({"\xC3"}), Error);
}

}  // namespace
}  // namespace airlock::stop_texts_test
