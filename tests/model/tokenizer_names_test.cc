// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say.
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock::tokenizer_names_test {
namespace {

TEST(TokenizerNames, ReadsStringsAndObjects) {
  const TokenizerNames names = parse_tokenizer_config(
      R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": false})", "t");
  EXPECT_EQ(names.bos, "<s>");
  EXPECT_EQ(names.eos, "</s>");
  EXPECT_EQ(names.add_bos, false);
  EXPECT_FALSE(names.add_eos.has_value());
  EXPECT_THROW(parse_tokenizer_config(R"({"bos_token": 1})", "t"), Error);
  EXPECT_THROW(parse_tokenizer_config(R"({"bos_token": {}})", "t"), Error);
  EXPECT_THROW(parse_tokenizer_config("[", "t"), Error);
}

TEST(TokenizerNames, ReadsAddedTokensByTheirIds) {
  const TokenizerNames names = parse_tokenizer_config(
      R"({"tokenizer_class": "LlamaTokenizerFast", "legacy": true, "added_tokens_decoder":
          {"10": {"content": "<b>", "special": true}, "9": {"content": "<a>", "lstrip": true}}})",
      "t");
  EXPECT_TRUE(names.llama_class && names.legacy && names.has_added_tokens_decoder);
  ASSERT_EQ(names.added.size(), 2U);
  EXPECT_EQ(names.added[0].id, 9);
  EXPECT_TRUE(names.added[0].lstrip && names.added[0].normalized && !names.added[0].special);
  EXPECT_EQ(names.added[1].content, "<b>");
  EXPECT_TRUE(names.added[1].special && !names.added[1].normalized);
}

TEST(TokenizerNames, OlderFilesNameTokensAndSayWhichAreSpecial) {
  TokenizerNames names = parse_tokenizer_config(
      R"({"bos_token": "<s>", "additional_special_tokens": ["<x>", {"content": "<y>"}]})", "t");
  parse_special_tokens_map(R"({"pad_token": {"content": "<pad>"}, "eos_token": "</s>"})", "m",
                           names);
  parse_added_tokens(R"({"<z>": 7, "<pad>": 6, "<y>": 5})", "a", names);
  EXPECT_EQ(names.bos, "<s>");
  EXPECT_EQ(names.eos, "</s>");
  EXPECT_FALSE(names.has_added_tokens_decoder);
  ASSERT_EQ(names.added.size(), 3U);
  EXPECT_TRUE(names.added[0].special && names.added[1].special && !names.added[2].special);
  EXPECT_EQ(names.added[2].content, "<z>");
  EXPECT_EQ(names.added[2].id, 7);
}

TEST(TokenizerNames, RefuseFilesThatAreWrong) {
  for (const char* json :
       {R"({"added_tokens_decoder": []})", R"({"added_tokens_decoder": {"x": {}}})",
        R"({"added_tokens_decoder": {"-1": {"content": "<a>"}}})",
        R"({"added_tokens_decoder": {"1": {"content": ""}}})",
        R"({"added_tokens_decoder": {"1": "<a>"}})",
        R"({"added_tokens_decoder": {"99999999999": {"content": "<a>"}}})",
        R"({"additional_special_tokens": [7]})", R"({"legacy": 1})"}) {
    EXPECT_THROW((void)parse_tokenizer_config(json, "t"), Error) << json;
  }
  TokenizerNames names;
  for (const char* json : {"[]", R"({"<a>": "1"})", R"({"<a>": -1})", R"({"": 1})"})
    EXPECT_THROW(parse_added_tokens(json, "t", names), Error) << json;
  EXPECT_THROW(parse_special_tokens_map(R"({"pad_token": 1})", "t", names), Error);
}

}  // namespace
}  // namespace airlock::tokenizer_names_test
