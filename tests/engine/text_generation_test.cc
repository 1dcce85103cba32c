#include "airlock/engine/text_generation.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/model/sentencepiece_tokenizer.h"
#include "airlock/model/tokenizer_json.h"

#include "tests/model/tokenizer_goldens.h"

namespace airlock::text_generation_test {
namespace {

using Ids = std::vector<std::int64_t>;

/// A tokenizer, and a model that says what a test wants it to say.
class TextGenerations : public ::testing::Test {
 protected:
  struct Result {
    std::string text;
    Ids ids;
    std::optional<FinishReason> finished;
    std::vector<std::string> pieces;
  };

  void SetUp() override {
    config_.vocab = tokenizer_->vocab_size() + 5;
    config_.max_position = 100;
  }

  [[nodiscard]] Ids encode(const std::string& text) const {
    const auto ids = tokenizer_->encode(text, false);
    return {ids.begin(), ids.end()};
  }
  /// Logits whose likeliest token is `id`.
  [[nodiscard]] std::vector<float> logits_of(std::int64_t id) const {
    std::vector<float> logits(static_cast<std::size_t>(config_.vocab));
    logits[static_cast<std::size_t>(id)] = 10;
    return logits;
  }
  /// Says `ids` until the generation has finished.
  [[nodiscard]] Result say(const Ids& ids, const TextGenerationOptions& options) const {
    TextGeneration generation(*tokenizer_, config_, prompt_, options);
    Result result;
    for (const std::int64_t id : ids) {
      if (generation.finished()) break;
      const GeneratedToken& token = generation.push(logits_of(id));
      EXPECT_EQ(token.id, id);
      EXPECT_EQ(token.finished, generation.finished());
      result.text += token.text;
      result.pieces.push_back(token.text);
    }
    result.ids.assign(generation.ids().begin(), generation.ids().end());
    result.finished = generation.finished();
    return result;
  }

  std::unique_ptr<Tokenizer> tokenizer_ = Tokenizer::load(goldens::folder() / "llama3");
  ModelConfig config_;
  Ids prompt_ = {3, 4, 5};
};

/// Every kind of decoder; what is special about the start of a text is in four of them.
std::vector<std::unique_ptr<Tokenizer>> tokenizers() {
  std::vector<std::unique_ptr<Tokenizer>> all;
  for (const char* name : {"llama3", "llama2", "plain"})
    all.push_back(Tokenizer::load(goldens::folder() / name));
  all.push_back(make_sentencepiece_tokenizer(
      goldens::read(goldens::folder() / "llama2" / "tokenizer.model"), {}, "tokenizer.model"));
  const std::string json = goldens::read(goldens::folder() / "llama2" / "tokenizer.json");
  for (const goldens::Group& group : goldens::load("llama2.goldens.jsonl")) {
    if (!group.name.starts_with("metaspace_")) continue;
    auto patched = nlohmann::json::parse(json);
    patched.merge_patch(group.patch);
    all.push_back(make_json_tokenizer(parse_tokenizer_json(patched.dump(), "tokenizer.json"), {},
                                      "tokenizer.json"));
  }
  return all;
}

TEST_F(TextGenerations, ContinueThePromptsTextWithTheBlankBetween) {
  for (auto& tokenizer : tokenizers()) {
    tokenizer_ = std::move(tokenizer);
    config_.vocab = tokenizer_->vocab_size();
    const auto prompt = tokenizer_->encode("so", true);
    const auto all = tokenizer_->encode("so the worker sees the link", true);
    ASSERT_TRUE(std::equal(prompt.begin(), prompt.end(), all.begin()));
    prompt_.assign(prompt.begin(), prompt.end());
    const Result result =
        say({all.begin() + static_cast<std::ptrdiff_t>(prompt.size()), all.end()}, {});
    EXPECT_EQ(result.text, " the worker sees the link");
  }
}

TEST_F(TextGenerations, BehindAnEmptyPromptAreTheStartOfAText) {
  for (const char* name : {"llama2", "plain"}) {
    tokenizer_ = Tokenizer::load(goldens::folder() / name);
    config_.vocab = tokenizer_->vocab_size();
    prompt_ = {tokenizer_->bos().value()};
    EXPECT_EQ(say(encode("the worker"), {}).text, "the worker");
  }
}

TEST_F(TextGenerations, DoNotRepeatACharacterInBytesThatEndsThePrompt) {
  tokenizer_ = Tokenizer::load(goldens::folder() / "llama2");  // holds back a run of bytes
  config_.vocab = tokenizer_->vocab_size();
  const Ids text = encode("so\u20A9we");  // E2 82 A9
  const auto last = std::find(text.begin(), text.end(), 3 + 0xA9);
  ASSERT_NE(last, text.end());
  prompt_.assign(text.begin(), last + 1);
  EXPECT_EQ(say({last + 1, text.end()}, {}).text, "we");
  prompt_.pop_back();  // but what it leaves unfinished is completed
  EXPECT_EQ(say({last, text.end()}, {}).text, "\u20A9we");
}

TEST_F(TextGenerations, StopAtEachOfSeveralEndTokensAndDoNotPrintIt) {
  // Two special tokens, and an ordinary one, which a model may name as well.
  const Ids ends = {tokenizer_->find_token("<|eot_id|>").value(),
                    tokenizer_->find_token("<|end_of_text|>").value(), encode("t").front()};
  config_.eos = ends;
  for (const std::int64_t end : ends) {
    Ids ids = encode("so we");
    const auto before = ids.size();
    ids.push_back(end);
    ids.push_back(encode("x").front());
    const Result result = say(ids, {});
    EXPECT_EQ(result.finished, FinishReason::kEndToken);
    EXPECT_EQ(result.text, "so we");
    EXPECT_EQ(result.ids.size(), before + 1);
    EXPECT_EQ(result.ids.back(), end);
  }
  TextGenerationOptions on;
  on.ignore_eos = true;
  on.max_tokens = 3;
  const Result result = say({ends[0], ends[2], ends[1]}, on);
  EXPECT_EQ(result.finished, FinishReason::kLength);
  EXPECT_EQ(result.text, "t");
}

TEST_F(TextGenerations, StopBeforeAStopTextAcrossTokens) {
  TextGenerationOptions options;
  options.stop = {"ker sees", "never"};
  const Ids ids = encode("the worker sees the link");
  const Result result = say(ids, options);
  EXPECT_EQ(result.finished, FinishReason::kStopText);
  EXPECT_EQ(result.text, "the wor");
  EXPECT_GT(ids.size(), result.ids.size());
}

TEST_F(TextGenerations, PrintWhatWasHeldBackForAStopTextThatDidNotCome) {
  const Ids ids = encode("the worker sees");
  TextGenerationOptions options;
  options.stop = {"sees nothing"};
  options.max_tokens = static_cast<std::int64_t>(ids.size());
  const Result result = say(ids, options);
  EXPECT_EQ(result.finished, FinishReason::kLength);
  EXPECT_EQ(result.text, "the worker sees");

  config_.eos = {tokenizer_->find_token("<|eot_id|>").value()};
  Ids ended = ids;
  ended.push_back(config_.eos.front());
  options.max_tokens = 64;
  EXPECT_EQ(say(ended, options).text, "the worker sees");
}

TEST_F(TextGenerations, PrintOnlyWholeCharacters) {
  const std::string text = "日🙂é";
  const Ids ids = encode(text);
  const Result result = say(ids, {});
  std::string printed;
  for (const std::string& piece : result.pieces) {
    printed += piece;
    EXPECT_TRUE(text.starts_with(printed)) << printed;
    EXPECT_FALSE(piece.ends_with('\xE6'));
  }
  EXPECT_EQ(printed, text);

  TextGenerationOptions cut;
  cut.max_tokens = 1;
  EXPECT_EQ(say({tokenizer_->find_token("Ã").value()}, cut).text, "\xEF\xBF\xBD");
}

TEST_F(TextGenerations, FindAStopTextInWhatADecoderHeldBack) {
  // Byte tokens: this tokenizer's decoder gives a run of them only when it ends.
  tokenizer_ = Tokenizer::load(goldens::folder() / "llama2");
  config_.vocab = tokenizer_->vocab_size();
  const Ids newline = {tokenizer_->find_token("<0x0A>").value()};
  TextGenerationOptions options;
  options.stop = {"\n"};
  options.max_tokens = 1;
  const Result result = say(newline, options);
  EXPECT_EQ(result.finished, FinishReason::kStopText);
  EXPECT_EQ(result.text, "");
}

TEST_F(TextGenerations, EndWhenTheContextIsFull) {
  config_.max_position = 5;
  const Result result = say(encode("one two three four five six"), {});
  EXPECT_EQ(result.finished, FinishReason::kLength);
  EXPECT_EQ(result.ids.size(), 3U);  // the last token needs no place in the context
}

TEST_F(TextGenerations, OfNoTokensHaveFinishedFromTheStart) {
  TextGenerationOptions options;
  options.max_tokens = 0;
  TextGeneration generation(*tokenizer_, config_, prompt_, options);
  EXPECT_EQ(generation.finished(), FinishReason::kLength);
  EXPECT_THROW(generation.push(logits_of(1)), Error);
}

TEST_F(TextGenerations, PrintNothingForIdsTheTokenizerDoesNotHave) {
  Ids ids = encode("so");
  ids.push_back(tokenizer_->vocab_size() + 2);
  const Ids more = encode(" we");
  ids.insert(ids.end(), more.begin(), more.end());
  EXPECT_EQ(say(ids, {}).text, "so we");
}

TEST_F(TextGenerations, GiveLogprobsOfTheModelsLogitsWhateverTheSampling) {
  TextGenerationOptions options;
  options.logprobs = 2;
  options.sampling.temperature = 0.1;
  options.sampling.top_k = 1;
  options.sampling.repetition_penalty = 5;
  TextGeneration generation(*tokenizer_, config_, prompt_, options);
  auto logits = logits_of(7);
  logits[9] = 9;
  const GeneratedToken& token = generation.push(logits);
  Logprobs expected;
  compute_logprobs(logits, 7, 2, expected);
  EXPECT_EQ(token.id, 7);
  EXPECT_EQ(token.logprobs.chosen.logprob, expected.chosen.logprob);
  ASSERT_EQ(token.logprobs.top.size(), 2U);
  EXPECT_EQ(token.logprobs.top[1].token, 9);
}

TEST_F(TextGenerations, PenalizeTheTokensOfThePrompt) {
  TextGenerationOptions options;
  options.sampling.repetition_penalty = 2;
  TextGeneration generation(*tokenizer_, config_, prompt_, options);
  auto logits = logits_of(prompt_.back());
  logits[9] = 6;
  EXPECT_EQ(generation.push(logits).id, 9);
}

TEST_F(TextGenerations, RefuseWhatCannotBeGenerated) {
  const auto refuse = [&](const Ids& prompt, const TextGenerationOptions& options) {
    EXPECT_THROW(TextGeneration(*tokenizer_, config_, prompt, options), Error);
  };
  TextGenerationOptions options;
  refuse({}, options);
  refuse(Ids(101, 1), options);
  options.max_tokens = -1;
  refuse(prompt_, options);
  options = {};
  options.logprobs = kMaxTopLogprobs + 1;
  refuse(prompt_, options);
  options = {};
  options.stop = {""};
  refuse(prompt_, options);
  options = {};
  options.sampling.min_p = 2;
  refuse(prompt_, options);
}

}  // namespace
}  // namespace airlock::text_generation_test
