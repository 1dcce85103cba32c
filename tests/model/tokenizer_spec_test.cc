#include "airlock/model/tokenizer_spec.h"

#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/model/tokenizer_goldens.h"

namespace airlock::tokenizer_spec_test {
namespace {

/// A small tokenizer.json with every part; `patch` (RFC 7396) breaks it.
std::string small(const std::string& patch = "{}") {
  nlohmann::json json = nlohmann::json::parse(R"({
    "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})");
  json.merge_patch(nlohmann::json::parse(patch));
  return json.dump();
}

struct Bad {
  std::string patch;
  ErrorCode code;
  std::string says;  ///< part of the message
};

void expect_refused(const std::string& json, ErrorCode code, const std::string& says) {
  try {
    (void)parse_tokenizer_json(json, "dir/tokenizer.json");
    ADD_FAILURE() << "accepted: " << json;
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.code(), code) << message;
    EXPECT_EQ(message.rfind("dir/tokenizer.json: ", 0), 0U) << message;
    EXPECT_NE(message.find(says), std::string::npos) << message;
  }
}

TEST(TokenizerSpec, ReadsEveryPart) {
  const TokenizerSpec spec = parse_tokenizer_json(small(), "t");
  EXPECT_EQ(spec.bpe.vocab.size(), 3U);
  EXPECT_EQ(spec.bpe.merges.size(), 1U);
  EXPECT_EQ(spec.added.size(), 1U);
  EXPECT_FALSE(spec.added[0].normalized);
  EXPECT_EQ(spec.prefix, std::vector<std::int32_t>{3});
  EXPECT_TRUE(spec.suffix.empty());
  EXPECT_EQ(spec.decoder.kind, DecoderSpec::kByteLevel);
}

TEST(TokenizerSpec, RefusesFilesThatContradictThemselves) {
  const auto bad = ErrorCode::kCorruptFile;
  const std::vector<Bad> cases = {
      {R"({"model": null})", bad, "has no `model`"},
      {R"({"model": []})", bad, "model: expected an object, found array"},
      {R"({"model": {"vocab": null}})", bad, "model: has no `vocab`"},
      {R"({"model": {"vocab": [1]}})", bad, "model.vocab: expected an object"},
      {R"({"model": {"vocab": {"a": null, "b": null, "ab": null}}})", bad, "vocab: is empty"},
      {R"({"model": {"vocab": {"a": -1}}})", bad, "expected a token id in [0, 4194303], found -1"},
      {R"({"model": {"vocab": {"a": 4194304}}})", bad, "found 4194304"},
      {R"({"model": {"vocab": {"a": 1.5}}})", bad, "found 1.5"},
      {R"({"model": {"vocab": {"a": "x"}}})", bad, "found string"},
      {R"({"model": {"vocab": {"a": 1}}})", bad, "tokens `a` and `b` share the id 1"},
      {R"({"model": {"merges": null}})", bad, "model: has no `merges`"},
      {R"({"model": {"merges": [["a", "x"]]}})", bad, "merges[0]: `a` + `x` needs the token `x`"},
      {R"({"model": {"merges": [["b", "a"]]}})", bad, "needs the token `ba`"},
      {R"({"model": {"merges": [["a"]]}})", bad, "merges[0]: expected 2 tokens, found 1"},
      {R"({"model": {"merges": ["ab"]}})", bad, "expected two tokens with one space between"},
      {R"({"model": {"merges": ["a b c"]}})", bad, "expected two tokens with one space between"},
      {R"({"model": {"merges": [7]}})", bad, "merges[0]: expected a string, found number"},
      {R"({"model": {"merges": [["a", 7]]}})", bad, "merges[0][1]: expected a string"},
      {R"({"model": {"unk_token": "<unk>"}})", bad, "`<unk>` is not in the vocabulary"},
      {R"({"model": {"fuse_unk": 1}})", bad, "model.fuse_unk: expected true or false"},
      {R"({"added_tokens": {}})", bad, "added_tokens: expected an array"},
      {R"({"added_tokens": [{"id": 3}]})", bad, "added_tokens[0]: has no `content`"},
      {R"({"added_tokens": [{"content": "<s>"}]})", bad, "added_tokens[0]: has no `id`"},
      {R"({"added_tokens": [{"id": -3, "content": "<s>"}]})", bad, "found -3"},
      {R"({"added_tokens": [{"id": 3, "content": ""}]})", bad, "has no text"},
      {R"({"added_tokens": [{"id": 2, "content": "<s>"}]})", bad, "which is the id of `ab` too"},
      {R"({"added_tokens": [{"id": 3, "content": "ab"}]})", bad, "id 3 here and 2 elsewhere"},
      {R"({"added_tokens": null})", bad, "the tokenizer has no token `<s>` with the id 3"},
      {R"({"post_processor": {"special_tokens": null}})", bad, "the template uses `<s>`"},
      {R"({"post_processor": {"special_tokens": {"<s>": {"ids": [2]}}}})", bad,
       "no token `<s>` with the id 2"},
      {R"({"post_processor": {"special_tokens": {"<s>": {"ids": [3, 3]}}}})", bad,
       "has 2 ids for 1 tokens"},
      {R"({"post_processor": {"single": null}})", bad, "has no `single`"},
      {R"({"post_processor": {"single": []}})", bad, "leaves out the text"},
      {R"({"pre_tokenizer": {"type": "Split"}})", bad, "has no `pattern`"},
      {R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Odd"}})", bad,
       "expected Isolated, Removed, Contiguous, MergedWithPrevious or MergedWithNext, found `Odd`"},
      {R"({"normalizer": {"type": "Replace", "pattern": {"Regex": ""}, "content": ""}})", bad,
       "is empty"},
      {R"({"model": {"type": "Unigram", "vocab": {}}})", bad, "vocab: expected an array"},
      {R"({"model": {"type": "Unigram", "vocab": []}})", bad, "has 0 pieces"},
      {R"({"model": {"type": "Unigram", "vocab": [["a"]]}})", bad, "a piece and its score"},
      {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "ab"}})", bad, "one character"},
      {R"({"pre_tokenizer": {"type": "Sequence"}})", bad, "has no `pretokenizers`"},
  };
  for (const Bad& c : cases) expect_refused(small(c.patch), c.code, c.says);
}

TEST(TokenizerSpec, RefusesWhatItCannotDoAndNamesIt) {
  const auto no = ErrorCode::kUnsupported;
  const std::vector<Bad> cases = {
      {R"({"model": {"type": "WordPiece"}})", no, "a `WordPiece` model"},
      {R"({"model": {"dropout": 0.1}})", no, "model.dropout"},
      {R"({"model": {"continuing_subword_prefix": "##"}})", no, "continuing_subword_prefix"},
      {R"({"model": {"end_of_word_suffix": "</w>"}})", no, "end_of_word_suffix"},
      {R"({"normalizer": {"type": "NFC"}})", no, "normalizer: type `NFC` is not supported"},
      {R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}]}})", no,
       "normalizer.normalizers[0]: type `NFKC`"},
      {R"({"pre_tokenizer": {"type": "Whitespace"}})", no, "type `Whitespace`"},
      {R"({"decoder": {"type": "Replace", "pattern": {"Regex": "a"}, "content": ""}})", no,
       "only a String pattern"},
      {R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers":
           [{"type": "ByteLevel"}, {"type": "ByteLevel"}]}})",
       no, "nothing may follow ByteLevel"},
      {R"({"post_processor": {"type": "RobertaProcessing"}})", no, "type `RobertaProcessing`"},
      {R"({"post_processor": {"single": [{"Sequence": {"id": "B"}}]}})", no, "the sequence A once"},
      {R"({"decoder": {"type": "WordPiece"}})", no, "type `WordPiece`"},
      {R"({"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]}})",
       no, "out of order"},
      {R"({"decoder": {"type": "Sequence", "decoders": [{"type": "Strip"}]}})", no,
       "after Fuse only"},
      {R"({"decoder": {"type": "Sequence", "decoders":
           [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]}})",
       no, "end"},
  };
  for (const Bad& c : cases) expect_refused(small(c.patch), c.code, c.says);
}

TEST(TokenizerSpec, RefusesWhatIsNotAJsonObject) {
  expect_refused("", ErrorCode::kCorruptFile, "not valid JSON");
  expect_refused("[]", ErrorCode::kCorruptFile, "expected a JSON object, found array");
  expect_refused("{\"a\": \"\xFF\"}", ErrorCode::kCorruptFile, "not valid JSON");
  const std::string deep =
      R"({"model":)" + std::string(100000, '[') + std::string(100000, ']') + "}";
  expect_refused(deep, ErrorCode::kCorruptFile, "nested deeper than 64 levels");
}

TEST(TokenizerSpec, RefusesAFileCutAnywhere) {
  const std::string good = small();
  for (std::size_t size = 0; size < good.size(); ++size)
    expect_refused(good.substr(0, size), ErrorCode::kCorruptFile, "not valid JSON");
}

TEST(TokenizerSpec, AnyByteChangedGivesATokenizerOrAnError) {
  const std::string good = goldens::read(goldens::folder() / "llama2" / "tokenizer.json");
  for (std::size_t at = 0; at < good.size(); at += 173) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 0x15);
    try {
      (void)parse_tokenizer_json(changed, "t");
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::kCorruptFile ||
                  error.code() == ErrorCode::kUnsupported);
    }
  }
}

}  // namespace
}  // namespace airlock::tokenizer_spec_test
