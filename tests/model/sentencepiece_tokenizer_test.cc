#include "airlock/model/sentencepiece_tokenizer.h"

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/model/tokenizer_goldens.h"

namespace airlock::sentencepiece_tokenizer_test {
namespace {
using goldens::Group;
using goldens::Ids;

std::string model(const std::string& kind) {
  return goldens::read(goldens::folder() / kind / "tokenizer.model");
}

std::unique_ptr<Tokenizer> build(const std::string& kind, const TokenizerNames& names = {}) {
  return make_sentencepiece_tokenizer(model(kind), names, "tokenizer.model");
}

TEST(SentencePieceTokenizer, EveryIdAndTextEqualsThePackage) {
  const std::vector<Group> groups = goldens::load("sentencepiece.goldens.jsonl");
  ASSERT_GE(groups.front().texts.size(), 300U);
  goldens::expect_equal(*build("llama2"), groups.front(), false);
}

TEST(SentencePieceTokenizer, EveryIdAndTextEqualsThePackageWhereWhiteSpaceIsRemoved) {
  const std::vector<Group> groups = goldens::load("sentencepiece_plain.goldens.jsonl");
  goldens::expect_equal(*build("plain"), groups.front(), false);
}

TEST(SentencePieceTokenizer, KnowsItsTokens) {
  const auto tokenizer = build("llama2");
  EXPECT_EQ(tokenizer->vocab_size(), 700);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_EQ(tokenizer->find_token("<0x0A>"), 3 + '\n');
  EXPECT_EQ(tokenizer->token_text(1), "<s>");
  EXPECT_TRUE(tokenizer->is_special(1));
  EXPECT_FALSE(tokenizer->is_special(0));
  EXPECT_FALSE(tokenizer->is_special(700));
  EXPECT_FALSE(tokenizer->find_token("no such piece"));
}

TEST(SentencePieceTokenizer, KeepsControlTokensOnRequest) {
  const auto tokenizer = build("llama2");
  Ids ids = tokenizer->encode("a b", true);
  ids.push_back(2);
  EXPECT_EQ(tokenizer->decode(ids, true), "a b");
  EXPECT_EQ(tokenizer->decode(ids, false), "<s>a b</s>");
}

TEST(SentencePieceTokenizer, AddsWhatTheConfigurationNames) {
  TokenizerNames names;
  names.add_bos = false;
  names.add_eos = true;
  const Ids ids = build("llama2", names)->encode("a", true);
  EXPECT_EQ(ids.back(), 2);
  EXPECT_NE(ids.front(), 1);
  names.bos = "<nowhere>";
  EXPECT_THROW(build("llama2", names), Error);
}

TEST(SentencePieceTokenizer, HoldsBackTheStartOfACharacter) {
  const auto tokenizer = build("llama2");
  const auto decoder = tokenizer->stream_decoder();
  const std::string euro = "\xE2\x82\xAC";
  std::string streamed;
  for (const char c : euro) {
    EXPECT_EQ(streamed, "");
    streamed += decoder->push(3 + static_cast<unsigned char>(c));
  }
  EXPECT_EQ(streamed, euro);
  EXPECT_EQ(decoder->push(3 + 0xE2), "");
  EXPECT_EQ(decoder->flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder->flush(), "");
}

TEST(SentencePieceTokenizer, RefusesIdsThatItDoesNotHave) {
  const auto tokenizer = build("llama2");
  for (const std::int32_t id : {-1, 700, 1 << 30}) {
    EXPECT_THROW((void)tokenizer->decode(Ids{id}, true), Error);
    EXPECT_THROW((void)tokenizer->token_text(id), Error);
    EXPECT_FALSE(tokenizer->has(id));
  }
  EXPECT_TRUE(tokenizer->has(699));
}

TEST(SentencePieceTokenizer, RefusesTruncatedAndDamagedModels) {
  const std::string good = model("llama2");
  int refused = 0;
  for (std::size_t size = 0; size < good.size(); size += 101) {
    try {
      (void)make_sentencepiece_tokenizer(std::string_view(good).substr(0, size), {}, "cut.model");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
      EXPECT_NE(std::string(error.what()).find("cut.model"), std::string::npos) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(SentencePieceTokenizer, AMegabyteComesBackWhole) {
  const auto tokenizer = build("llama2");
  for (const std::string unit : {" ", "a", "é"}) {
    std::string text;
    while (text.size() < (1U << 20U)) text += unit;
    EXPECT_TRUE(tokenizer->decode(tokenizer->encode(text, true), true) == text) << unit;
  }
}

}  // namespace
}  // namespace airlock::sentencepiece_tokenizer_test
