#include "airlock/model/tokenizer_synth.h"

#include <set>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer_json.h"

namespace airlock::tokenizer_synth_test {
namespace {

std::unique_ptr<Tokenizer> synth(std::int64_t vocab_size) {
  return make_json_tokenizer(
      parse_tokenizer_json(make_byte_level_tokenizer_json(vocab_size), "synth"), {}, "synth");
}

TEST(TokenizerSynth, HasExactlyTheVocabularyAskedFor) {
  for (const std::int64_t size : {258, 259, 266, 320, 1000, 32000, 128255, 128256, 131072}) {
    const auto tokenizer = synth(size);
    ASSERT_EQ(tokenizer->vocab_size(), size);
    std::set<std::string_view> texts;
    for (std::int32_t id = 0; id < size; ++id) texts.insert(tokenizer->token_text(id));
    EXPECT_EQ(texts.size(), static_cast<std::size_t>(size));
    EXPECT_TRUE(tokenizer->bos().has_value());
    EXPECT_TRUE(tokenizer->eos().has_value());
  }
}

TEST(TokenizerSynth, HasTheSpecialIdsOfLlama3) {
  const auto tokenizer = synth(128256);
  EXPECT_EQ(tokenizer->bos(), 128000);
  EXPECT_EQ(tokenizer->eos(), 128001);
  EXPECT_EQ(tokenizer->find_token("<|finetune_right_pad_id|>"), 128004);
  EXPECT_EQ(tokenizer->find_token("<|eom_id|>"), 128008);
  EXPECT_EQ(tokenizer->find_token("<|eot_id|>"), 128009);
  EXPECT_EQ(tokenizer->find_token("<|python_tag|>"), 128010);
  EXPECT_EQ(tokenizer->find_token("<|reserved_special_token_2|>"), 128005);
  EXPECT_EQ(tokenizer->find_token("<|reserved_special_token_247|>"), 128255);
}

TEST(TokenizerSynth, AnyTextIsOneTokenAByteAndComesBack) {
  const auto tokenizer = synth(2000);
  std::string text = "It's 2024: \"é€🙂\" \\ and dabi gobe\n\n";
  for (char c = 1; c < 127; ++c) text += c;
  const auto ids = tokenizer->encode(text, true);
  ASSERT_EQ(ids.size(), text.size() + 1);
  EXPECT_EQ(ids.front(), tokenizer->bos());
  for (std::size_t i = 1; i < ids.size(); ++i) EXPECT_LT(ids[i], 256);
  EXPECT_EQ(tokenizer->decode(ids, true), text);
}

TEST(TokenizerSynth, RefusesTooFewAndTooMany) {
  for (const std::int64_t size : {std::int64_t{-1}, std::int64_t{0}, std::int64_t{257},
                                  std::int64_t{4194305}, std::int64_t{1} << 60}) {
    try {
      (void)make_byte_level_tokenizer_json(size);
      ADD_FAILURE() << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    }
  }
}

}  // namespace
}  // namespace airlock::tokenizer_synth_test
