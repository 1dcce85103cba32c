#include "airlock/engine/token_pieces.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/model/tokenizer_goldens.h"

namespace airlock::token_pieces_test {
namespace {

TEST(TokenPieces, KeepTheSpaceAWordBeginsWith) {
  for (const char* name : {"llama2", "llama3", "plain"}) {
    SCOPED_TRACE(name);
    const auto tokenizer = Tokenizer::load(goldens::folder() / name);
    TokenPieces pieces(*tokenizer);
    std::string text;
    const auto ids = tokenizer->encode("so the worker sees the link", false);
    for (const std::int32_t id : ids) text += pieces.text(id);
    EXPECT_TRUE(text == "so the worker sees the link" || text == " so the worker sees the link")
        << text;
  }
}

TEST(TokenPieces, SpellSpecialTokensAndMarkBytesThatAreNoCharacter) {
  const auto tokenizer = Tokenizer::load(goldens::folder() / "llama3");
  TokenPieces pieces(*tokenizer);
  EXPECT_EQ(pieces.text(tokenizer->find_token("<|eot_id|>").value()), "<|eot_id|>");
  EXPECT_EQ(pieces.text(tokenizer->find_token("Ġ").value()), " ");
  EXPECT_EQ(pieces.text(tokenizer->find_token("Ã").value()), "\xEF\xBF\xBD");
}

TEST(TokenPieces, OfIdsTheTokenizerDoesNotHaveAreEmpty) {
  const auto tokenizer = Tokenizer::load(goldens::folder() / "llama3");
  TokenPieces pieces(*tokenizer);
  EXPECT_EQ(pieces.text(tokenizer->vocab_size()), "");
  EXPECT_EQ(pieces.text(-1), "");
  EXPECT_EQ(pieces.text(std::int64_t{1} << 32), "");
}

}  // namespace
}  // namespace airlock::token_pieces_test
