#include "airlock/model/tokenizer_json.h"

#include <thread>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"

#include "tests/model/tokenizer_goldens.h"

namespace airlock::tokenizer_json_test {
namespace {
using goldens::Group;
using goldens::Ids;
using nlohmann::json;

json base(const std::string& kind) {
  return json::parse(goldens::read(goldens::folder() / kind / "tokenizer.json"));
}

std::unique_ptr<Tokenizer> build(const json& spec) {
  return make_json_tokenizer(parse_tokenizer_json(spec.dump(), "tokenizer.json"), {},
                             "tokenizer.json");
}

TEST(JsonTokenizer, OfAddedTokensWithTheSameTextTheFirstCounts) {
  json spec = base("llama3");
  spec["added_tokens"].push_back({{"id", 1511}, {"content", "<x>"}, {"special", false}});
  spec["added_tokens"].push_back({{"id", 1512}, {"content", "<x>"}, {"special", true}});
  spec["added_tokens"].push_back({{"id", 1513}, {"content", "<y>"}, {"special", true}});
  const auto tokenizer = build(spec);
  EXPECT_EQ(tokenizer->encode("<x><y>", false), (Ids{1511, 1513}));
  EXPECT_TRUE(tokenizer->is_special(1511));
  EXPECT_EQ(tokenizer->decode(Ids{0, 1511, 1512, 1513}, false), "!<x><y>");
  EXPECT_FALSE(tokenizer->has(1512));
}

TEST(JsonTokenizer, SettingsThatContradictTheTemplateAreNotAppliedButSaid) {
  const std::string spec = base("llama3").dump();
  const auto said = [&](std::optional<bool> bos, std::optional<bool> eos) {
    TokenizerNames names;
    names.add_bos = bos;
    names.add_eos = eos;
    set_log_level(LogLevel::kWarning);
    ::testing::internal::CaptureStderr();
    const auto tokenizer =
        make_json_tokenizer(parse_tokenizer_json(spec, "t.json"), names, "t.json");
    EXPECT_EQ(tokenizer->encode("", true), Ids{tokenizer->bos().value()});
    set_log_level(LogLevel::kError);  // as the tests' main has it
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(said(std::nullopt, std::nullopt), "");
  EXPECT_EQ(said(true, false), "");
  EXPECT_NE(said(false, false)
                .find("adds that token, though tokenizer_config.json says "
                      "add_bos_token: false"),
            std::string::npos);
  EXPECT_NE(said(true, true)
                .find("does not add that token, though tokenizer_config.json says "
                      "add_eos_token: true"),
            std::string::npos);
}

class JsonGoldens : public ::testing::TestWithParam<std::string> {};

TEST_P(JsonGoldens, EveryIdAndTextEqualsTheTokenizersPackage) {
  const json spec = base(GetParam());
  const std::vector<Group> groups = goldens::load(GetParam() + ".goldens.jsonl");
  ASSERT_GE(groups.size(), 5U);
  for (const Group& group : groups) {
    json patched = spec;
    patched.merge_patch(group.patch);
    ASSERT_FALSE(group.texts.empty());
    goldens::expect_equal(*build(patched), group, true);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, JsonGoldens, ::testing::Values("llama3", "llama2"),
                         [](const auto& kind) { return kind.param; });

TEST(JsonTokenizer, TheGoldensHoldAtLeastTwoThousandStrings) {
  EXPECT_GE(goldens::load("llama3.goldens.jsonl").front().texts.size(), 2000U);
}

TEST(JsonTokenizer, MergesAsOneStringMeanTheSameAsPairs) {
  json spec = base("llama3");
  for (json& merge : spec["model"]["merges"])
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  spec["model"]["merges"].insert(spec["model"]["merges"].begin(), "#version: 0.2");
  goldens::expect_equal(*build(spec), goldens::load("llama3.goldens.jsonl").front(), true);
}

TEST(JsonTokenizer, TemplatesMayAddTokensBehindTheText) {
  json spec = base("llama2");
  spec["post_processor"]["single"].push_back(
      json::parse(R"({"SpecialToken":{"id":"</s>","type_id":0}})"));
  spec["post_processor"]["special_tokens"]["</s>"] =
      json::parse(R"({"id":"</s>","ids":[2],"tokens":["</s>"]})");
  const Ids ids = build(spec)->encode("a", true);
  ASSERT_EQ(ids.size(), 3U);
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.back(), 2);
}

TEST(JsonTokenizer, KnowsItsTokens) {
  const auto tokenizer = build(base("llama3"));
  const std::int32_t eot = tokenizer->find_token("<|eot_id|>").value();
  EXPECT_EQ(tokenizer->token_text(eot), "<|eot_id|>");
  EXPECT_TRUE(tokenizer->is_special(eot));
  EXPECT_EQ(tokenizer->bos(), tokenizer->find_token("<|begin_of_text|>"));
  EXPECT_EQ(tokenizer->eos(), tokenizer->find_token("<|end_of_text|>"));
  EXPECT_EQ(tokenizer->vocab_size(), 1511);
  EXPECT_FALSE(tokenizer->is_special(0));
  EXPECT_FALSE(tokenizer->is_special(-1));
  EXPECT_FALSE(tokenizer->is_special(1511));
  EXPECT_FALSE(tokenizer->find_token("no such token"));
}

TEST(JsonTokenizer, RefusesIdsThatItDoesNotHave) {
  const auto tokenizer = build(base("llama3"));
  for (const std::int32_t id : {-1, 1511, 1 << 30}) {
    const auto decoder = tokenizer->stream_decoder();
    try {
      (void)tokenizer->decode(Ids{0, id}, true);
      ADD_FAILURE() << id;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    }
    EXPECT_THROW((void)tokenizer->token_text(id), Error);
    EXPECT_FALSE(tokenizer->has(id));
    EXPECT_EQ(decoder->push(0), "!");
    EXPECT_THROW((void)decoder->push(id), Error);
    EXPECT_EQ(decoder->push(0) + decoder->flush(), "!");
  }
}

TEST(JsonTokenizer, PrintsNothingForIdsInTheHolesOfAVocabulary) {
  json spec = base("llama3");
  spec["added_tokens"].push_back({{"id", 1600}, {"content", "<late>"}, {"special", false}});
  const auto tokenizer = build(spec);
  EXPECT_EQ(tokenizer->vocab_size(), 1601);
  EXPECT_EQ(tokenizer->encode("<late>", false), Ids{1600});
  EXPECT_EQ(tokenizer->decode(Ids{0, 1555, 1600}, true), "!<late>");
  EXPECT_EQ(goldens::stream(*tokenizer, {0, 1555, 1600}, false), "!<late>");
  EXPECT_THROW((void)tokenizer->token_text(1555), Error);
  EXPECT_THROW((void)tokenizer->decode(Ids{1601}, true), Error);
  EXPECT_TRUE(tokenizer->has(1600) && tokenizer->has(1510));
  EXPECT_FALSE(tokenizer->has(1555));
}

TEST(JsonTokenizer, MegabytesOfOneCharacterComeBackWhole) {
  const auto llama3 = build(base("llama3"));
  const auto llama2 = build(base("llama2"));
  for (const std::string unit : {" ", "a", "\n", "é", "<", "\xFF"}) {
    std::string text;
    while (text.size() < (1U << 20U)) text += unit;
    const std::string expected =
        unit == "\xFF" ? llama3->decode(llama3->encode(text, false), true) : text;
    EXPECT_TRUE(llama3->decode(llama3->encode(text, false), true) == expected) << unit;
    EXPECT_TRUE(llama2->decode(llama2->encode(text, false), true) == expected) << unit;
    EXPECT_EQ(expected.size(), unit == "\xFF" ? 3U << 20U : text.size());
  }
}

TEST(JsonTokenizer, SeveralThreadsMayEncodeAndDecodeAtOnce) {
  const auto tokenizer = build(base("llama3"));
  const Group group = goldens::load("llama3.goldens.jsonl").front();
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < group.texts.size(); i += 3) {
        wrong[t] += tokenizer->encode(group.texts[i].raw, false) != group.texts[i].ids;
        wrong[t] += tokenizer->decode(group.texts[i].ids, true) != group.texts[i].decoded;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace airlock::tokenizer_json_test
