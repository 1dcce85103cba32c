#include "airlock/engine/generate.h"

#include <vector>

#include <gtest/gtest.h>

#include "airlock/worker/local_operators.h"

#include "tests/engine/golden.h"
#include "tests/engine/sampling_goldens.h"
#include "tests/model/tokenizer_goldens.h"
#include "tests/support/plans.h"
#include "tests/support/split.h"

namespace airlock::generate_test {
namespace {

using Ids = std::vector<std::int64_t>;

TEST(Generate, GreedyTokensWithARepetitionPenaltyEqualTransformers) {
  const auto tokenizer = Tokenizer::load(goldens::folder() / "llama3");
  const nlohmann::json cases = testing::sampling_goldens()["generations"];
  ASSERT_EQ(cases.size(), 4U);
  for (const auto& c : cases) {
    const auto dir = testing::checkpoint_path(c["checkpoint"].get<std::string>());
    SCOPED_TRACE(dir);
    testing::TestWorker worker(dir, DType::kF32);
    LocalOperators operators(worker.backend());
    const RunnerModel model(Checkpoint::open(dir));
    Engine engine(model, find_plan("baseline"), operators);

    const auto prompt = c["prompt"].get<Ids>();
    const auto expected = c["tokens"].get<Ids>();
    TextGenerationOptions options;
    options.max_tokens = static_cast<std::int64_t>(expected.size());
    options.ignore_eos = true;
    options.sampling.repetition_penalty = c["repetition_penalty"].get<double>();
    TextGeneration text(*tokenizer, model.config(), prompt, options);
    Ids streamed;
    generate(engine, prompt, text,
             [&](const GeneratedToken& token) { streamed.push_back(token.id); });
    EXPECT_EQ(streamed, expected);
    EXPECT_EQ(Ids(text.ids().begin(), text.ids().end()), expected);
    EXPECT_EQ(text.finished(), FinishReason::kLength);
  }
}

class GenerationBatchTest : public ::testing::Test {
 protected:
  TextGenerationOptions tokens(std::int64_t count) {
    TextGenerationOptions options;
    options.max_tokens = count;
    options.ignore_eos = true;
    return options;
  }
  TextGeneration text(const Ids& prompt, std::int64_t count) {
    return {*tokenizer_, model_.config(), prompt, tokens(count)};
  }
  static Ids ids_of(const TextGeneration& text) { return {text.ids().begin(), text.ids().end()}; }

  std::unique_ptr<Tokenizer> tokenizer_ = Tokenizer::load(goldens::folder() / "llama3");
  RunnerModel model_{Checkpoint::open(testing::checkpoint_path("llama3-gqa"))};
  testing::TestWorker worker_{testing::checkpoint_path("llama3-gqa"), DType::kF32};
};

TEST_F(GenerationBatchTest, GivesEachPromptTheTokensItHasAlone) {
  for (Plan plan : testing::plain_plans()) {
    plan.wire_dtype = DType::kF32;
    testing::TestSession session(worker_, model_.config());
    Engine engine(model_, plan, session.client());
    std::vector<Ids> prompts;
    std::vector<TextGeneration> alone;
    std::vector<TextGeneration> together;
    for (std::int64_t i = 0; i < 6; ++i) {
      prompts.emplace_back();
      for (std::int64_t at = 0; at <= 7 * i; ++at) {
        prompts.back().push_back((7919 * at + 31 * i + 5) % model_.config().vocab);
      }
    }
    for (const Ids& prompt : prompts) {
      alone.push_back(text(prompt, 8));
      generate(engine, prompt, alone.back(), [](const GeneratedToken&) {});
      together.push_back(text(prompt, 8));
    }
    EXPECT_EQ(engine.open_sequences(), 0);
    GenerationBatch batch(engine, 10);
    for (std::size_t i = 0; i < 3; ++i) batch.add(prompts[i], together[i]);
    for (int step = 0; step < 4; ++step) ASSERT_TRUE(batch.step());
    for (std::size_t i = 3; i < 6; ++i) batch.add(prompts[i], together[i]);  // beside those
    while (batch.step()) {
    }
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(together[i].finished(), FinishReason::kLength);
      EXPECT_EQ(ids_of(together[i]), ids_of(alone[i])) << plan.name << ", prompt " << i;
    }
    EXPECT_EQ(engine.open_sequences(), 0);
  }
}

TEST_F(GenerationBatchTest, ACancelledGenerationLeavesTheOthersAlone) {
  testing::TestSession session(worker_, model_.config());
  Engine engine(model_, find_plan("blocks"), session.client());
  const Ids prompt = {1, 2, 3, 4};
  TextGeneration undisturbed = text(prompt, 6);
  TextGeneration cancelled = text(prompt, 6);
  TextGeneration other = text(prompt, 6);
  GenerationBatch batch(engine);
  batch.add(prompt, undisturbed);
  while (batch.step()) {
  }
  batch.add(prompt, cancelled);
  batch.add(prompt, other);
  batch.step();
  batch.step();
  batch.cancel(cancelled);
  while (batch.step()) {
  }
  EXPECT_EQ(engine.open_sequences(), 0);
  EXPECT_EQ(cancelled.ids().size(), 2U);
  EXPECT_EQ(ids_of(other), ids_of(undisturbed));
}

TEST_F(GenerationBatchTest, ATakerMayCancelItsOwnGenerationAndAnother) {
  testing::TestSession session(worker_, model_.config());
  Engine engine(model_, find_plan("runner-attention"), session.client());
  const Ids prompt = {1, 2, 3, 4};
  TextGeneration first = text(prompt, 6);
  TextGeneration second = text(prompt, 6);
  TextGeneration third = text(prompt, 6);
  GenerationBatch batch(engine);
  batch.add(prompt, first, [&](const GeneratedToken&) {
    batch.cancel(first);
    batch.cancel(second);
  });
  batch.add(prompt, second);
  batch.add(prompt, third);
  while (batch.step()) {
  }
  EXPECT_EQ(first.ids().size(), 1U);
  EXPECT_EQ(second.ids().size(), 0U);
  EXPECT_EQ(third.ids().size(), 6U);
}

TEST_F(GenerationBatchTest, RefusesAPromptThatWouldEndTheStepsOfAll) {
  testing::TestSession session(worker_, model_.config());
  Engine engine(model_, find_plan("blocks"), session.client());
  const Ids prompt = {1, 2, 3, 4};
  TextGeneration generation = text(prompt, 6);
  GenerationBatch batch(engine);
  const Ids outside = {1, model_.config().vocab};
  EXPECT_THROW(batch.add(outside, generation), Error);
  EXPECT_EQ(engine.open_sequences(), 0);
}

TEST_F(GenerationBatchTest, EnginesOfOneSessionKeepTheirSequencesApart) {
  testing::TestSession session(worker_, model_.config());
  Engine one(model_, find_plan("blocks"), session.client());
  Engine other(model_, find_plan("blocks"), session.client());
  const Sequence a = one.open();
  const Sequence b = other.open();
  EXPECT_NE(a.id(), b.id());
}

TEST_F(GenerationBatchTest, ATakerThatThrowsEndsItsGenerationAlone) {
  testing::TestSession session(worker_, model_.config());
  Engine engine(model_, find_plan("runner-attention"), session.client());
  const Ids prompt = {1, 2, 3, 4};
  TextGeneration broken = text(prompt, 6);
  TextGeneration other = text(prompt, 6);
  GenerationBatch batch(engine);
  batch.add(prompt, broken, [](const GeneratedToken&) { fail(ErrorCode::kIo, "closed"); });
  batch.add(prompt, other);
  EXPECT_THROW(batch.step(), Error);
  EXPECT_EQ(batch.size(), 1U);
  while (batch.step()) {
  }
  EXPECT_EQ(ids_of(other).size(), 6U);
}

}  // namespace
}  // namespace airlock::generate_test
