#include "airlock/model/tokenizer_added.h"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace airlock::tokenizer_added_test {
namespace {

/// The pieces of `text`, tokens as "{id:text}".
std::string split(const std::vector<AddedToken>& tokens, const std::string& text) {
  std::vector<std::string> patterns;
  for (const AddedToken& token : tokens) patterns.push_back(token.content);
  std::vector<AddedTokens::Piece> pieces;
  AddedTokens(tokens, patterns).split(text, pieces);
  std::string out;
  for (const auto& piece : pieces) {
    if (!out.empty()) out += "|";
    if (piece.id < 0) {
      out += piece.text;
    } else {
      out += fmt::format("{{{}:{}}}", piece.id, piece.text);
    }
  }
  return out;
}

AddedToken token(const std::string& content, std::int32_t id) {
  AddedToken result;
  result.content = content;
  result.id = id;
  return result;
}

TEST(AddedTokens, TheLeftmostAndThenLongestCounts) {
  const std::vector<AddedToken> tokens = {token("<a", 1), token("<ab>", 2), token("b>c", 3)};
  EXPECT_EQ(split(tokens, "x<ab>c<ac"), "x|{2:<ab>}|c|{1:<a}|c");
  EXPECT_EQ(split(tokens, "<a<ab<ab>"), "{1:<a}|{1:<a}|b|{2:<ab>}");
  EXPECT_EQ(split(tokens, ""), "");
  EXPECT_EQ(split({}, "<a"), "<a");
}

TEST(AddedTokens, StripTakesAllWhiteSpaceButNotOfAnEarlierToken) {
  AddedToken left = token("L", 1);
  left.lstrip = true;
  AddedToken right = token("R", 2);
  right.rstrip = true;
  EXPECT_EQ(split({left, right}, "a \u3000L b R\n\t c"), "a|{1: \u3000L}| b |{2:R\n\t }|c");
  EXPECT_EQ(split({left, right}, "R  L"), "{2:R  }|{1:L}");
  EXPECT_EQ(split({left, right}, "  L"), "{1:  L}");
}

TEST(AddedTokens, SingleWordsAreNotFoundWithinWords) {
  AddedToken word = token("w", 1);
  word.single_word = true;
  EXPECT_EQ(split({word}, "w aw wa éw w! _w"), "{1:w}| aw wa éw |{1:w}|! _w");
  EXPECT_EQ(split({word}, "w\u200D-w\U00010D4A"), "w\u200D-w\U00010D4A");
}

}  // namespace
}  // namespace airlock::tokenizer_added_test
