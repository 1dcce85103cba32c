#include "airlock/model/sentencepiece_tokenizer.h"

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/model/tokenizer_goldens.h"
#include "tests/support/temp_dir.h"

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

/// Folders with other files beside tokenizer.model, as transformers' AutoTokenizer reads them.
TEST(SentencePieceTokenizer, FilesBesideTheModelMeanWhatTheyMeanInTransformers) {
  std::istringstream lines(goldens::read(goldens::folder() / "folders.goldens.jsonl"));
  std::unique_ptr<Tokenizer> tokenizer;
  std::string name;
  int folders = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json.contains("name")) {
      name = json["name"];
      const testing::TempDir folder;
      testing::write_file(folder.path() / "tokenizer.model", model("llama2"));
      for (const auto& [file, content] : json["files"].items())
        testing::write_file(folder.path() / file, content.dump());
      tokenizer = Tokenizer::load(folder.path());
      ++folders;
    } else if (json.contains("s")) {
      Ids around = json["s"][0].get<Ids>();
      for (const std::int32_t id : json["s"][1].get<Ids>()) around.push_back(id);
      EXPECT_EQ(tokenizer->encode("", true), around) << name;
    } else {
      SCOPED_TRACE(name + ": " + json["text"].get<std::string>());
      EXPECT_EQ(tokenizer->encode(json["text"].get<std::string>(), false), json["ids"].get<Ids>());
      if (!json.contains("plain")) continue;
      EXPECT_EQ(tokenizer->decode(json["plain"].get<Ids>(), true), json["skipped"]);
      EXPECT_EQ(goldens::stream(*tokenizer, json["plain"].get<Ids>(), true), json["skipped"]);
    }
  }
  EXPECT_GE(folders, 8);
}

TEST(SentencePieceTokenizer, ServesAUnigramTokenizerJsonMadeFromIt) {
  const auto tokenizer = Tokenizer::load(goldens::folder() / "unigram");
  const std::vector<Group> groups = goldens::load("unigram.goldens.jsonl");
  ASSERT_GE(groups.front().texts.size(), 60U);
  goldens::expect_equal(*tokenizer, groups.front(), false);
  const Ids ids = tokenizer->encode("so<|im_end|>", true);
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.at(ids.size() - 2), 700);
  EXPECT_EQ(ids.back(), 2);
}

TEST(SentencePieceTokenizer, ServesNoUnigramTokenizerJsonMadeFromAnother) {
  const testing::TempDir folder;
  const auto json = goldens::read(goldens::folder() / "unigram" / "tokenizer.json");
  const auto refused = [&folder](const std::string& says) {
    try {
      (void)Tokenizer::load(folder.path());
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
    }
  };
  testing::write_file(folder.path() / "tokenizer.json", json);
  refused("only with the tokenizer.model that it was made from");
  testing::write_file(folder.path() / "tokenizer.model", model("llama2"));
  refused("its pieces are not those of the Unigram model");
}

TEST(SentencePieceTokenizer, RefusesAddedTokensThatContradictTheModel) {
  for (const auto& [content, id] :
       std::vector<std::pair<std::string, std::int32_t>>{{"<new>", 300}, {"<s>", 700}}) {
    TokenizerNames names;
    names.added.push_back({.content = content, .id = id});
    EXPECT_THROW((void)build("llama2", names), Error) << content;
  }
}

TEST(SentencePieceTokenizer, PrintsNothingForIdsInHolesAmongAddedTokens) {
  TokenizerNames names;
  names.added.push_back({.content = "<late>", .id = 710});
  names.added.push_back({.content = "<late>", .id = 712});
  const auto tokenizer = build("llama2", names);
  EXPECT_EQ(tokenizer->vocab_size(), 711);
  EXPECT_FALSE(tokenizer->has(705));
  EXPECT_EQ(tokenizer->decode(Ids{705, 710, 705}, true), "<late>");
  EXPECT_THROW((void)tokenizer->token_text(705), Error);
  EXPECT_THROW((void)tokenizer->decode(Ids{711}, true), Error);
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
