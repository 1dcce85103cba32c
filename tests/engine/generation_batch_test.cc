// Generations side by side: each as alone, and an error of one its own.
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/engine/generate.h"

#include "tests/engine/golden.h"
#include "tests/model/tokenizer_goldens.h"
#include "tests/support/plans.h"
#include "tests/support/raw_peer.h"
#include "tests/support/split.h"

namespace airlock::generation_batch_test {
namespace {

using Ids = std::vector<std::int64_t>;

/// How generations ended, by id; each once.
class Ends {
 public:
  OnEnd take() {
    return [this](const GenerationEnd& end) {
      std::optional<Error> error;
      try {
        if (end.error) std::rethrow_exception(end.error);
      } catch (const Error& caught) {
        error = caught;
      }
      EXPECT_TRUE(ends_.emplace(end.id, error).second) << "told twice";
      EXPECT_EQ(end.text->finished().has_value(), !error);
    };
  }
  [[nodiscard]] std::size_t size() const { return ends_.size(); }
  /// The code of an error's end; none: it ended well.
  [[nodiscard]] std::optional<ErrorCode> code(std::uint64_t id) const {
    const std::optional<Error>& error = ends_.at(id);
    return error ? std::optional(error->code()) : std::nullopt;
  }

 private:
  std::map<std::uint64_t, std::optional<Error>> ends_;
};

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
  Ids prompt(std::int64_t tokens, std::int64_t seed) const {
    Ids ids;
    for (std::int64_t at = 0; at < tokens; ++at) {
      ids.push_back((7919 * at + 31 * seed + 5) % model_.config().vocab);
    }
    return ids;
  }
  /// What a prompt's generation gives if it has the worker to itself.
  Ids alone(const Plan& plan, const Ids& prompt, std::int64_t count) {
    testing::TestSession session(worker_, model_.config());
    Engine engine(model_, plan, session.client());
    TextGeneration generation = text(prompt, count);
    generate(engine, prompt, generation, [](const GeneratedToken&) {});
    return ids_of(generation);
  }
  static Plan exact(std::string_view name) {
    Plan plan = find_plan(name);
    plan.wire_dtype = DType::kF32;
    return plan;
  }

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
    std::vector<Ids> expected;
    std::vector<TextGeneration> together;
    for (std::int64_t i = 0; i < 6; ++i) prompts.push_back(prompt(7 * i + 1, i));
    for (const Ids& each : prompts) {
      expected.push_back(alone(plan, each, 8));
      together.push_back(text(each, 8));
    }
    GenerationBatch batch(engine, 10);
    for (std::size_t i = 0; i < 3; ++i) batch.add(prompts[i], together[i]);
    for (int step = 0; step < 4; ++step) ASSERT_TRUE(batch.step());
    for (std::size_t i = 3; i < 6; ++i) batch.add(prompts[i], together[i]);  // beside those
    while (batch.step()) {
    }
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(together[i].finished(), FinishReason::kLength);
      EXPECT_EQ(ids_of(together[i]), expected[i]) << plan.name << ", prompt " << i;
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
  EXPECT_EQ(batch.add(prompt, other), 0U);
  const auto id =
      batch.add(prompt, broken, [](const GeneratedToken&) { fail(ErrorCode::kIo, "closed"); });
  try {
    batch.step();
    ADD_FAILURE() << "nobody took the error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_EQ(error.what(), fmt::format("generation {}: closed", id));
  }
  EXPECT_EQ(batch.size(), 1U);
  while (batch.step()) {
  }
  EXPECT_EQ(ids_of(other).size(), 6U);
}

TEST_F(GenerationBatchTest, APromptThatTheModelDoesNotKnowFailsAlone) {
  for (const char* plan : {"blocks", "flash", "baseline"}) {
    testing::TestSession session(worker_, model_.config());
    Engine engine(model_, exact(plan), session.client());
    const Ids good = prompt(5, 1);
    Ids outside = prompt(5, 2);
    outside[3] = model_.config().vocab;
    TextGeneration first = text(good, 4);
    TextGeneration unknown = text(outside, 4);
    Ends ends;
    GenerationBatch batch(engine);
    EXPECT_THROW(batch.add(std::span(good).first(4), first), Error) << "not the text's prompt";
    const auto ok = batch.add(good, first, {}, ends.take());
    const auto bad = batch.add(outside, unknown, {}, ends.take());
    while (batch.step()) {
    }
    ASSERT_EQ(ends.size(), 2U);
    EXPECT_EQ(ends.code(ok), std::nullopt);
    EXPECT_EQ(ends.code(bad), ErrorCode::kInvalidArgument);
    EXPECT_EQ(ids_of(first), alone(exact(plan), good, 4));
    EXPECT_TRUE(unknown.ids().empty());
    EXPECT_EQ(engine.open_sequences(), 0);
  }
}

TEST_F(GenerationBatchTest, WhereMemoryForKeysIsShortTheOldestGoOn) {
  // A worker with room for two that are done: of four that start together two find none, and of
  // three that have started the youngest gives way as they grow.
  const Plan plan = exact("blocks");
  const Ids prompts[] = {prompt(9, 1), prompt(9, 2), prompt(9, 3), prompt(9, 4)};
  for (const auto& [count, tokens] : {std::pair(4U, 40), {3U, 100}}) {
    ServerOptions limited;
    limited.kv_budget = 0;
    {
      testing::TestSession session(worker_, model_.config());
      Engine engine(model_, plan, session.client());
      TextGeneration a = text(prompts[0], tokens);
      TextGeneration b = text(prompts[1], tokens);
      GenerationBatch batch(engine);
      batch.add(prompts[0], a);
      batch.add(prompts[1], b);
      while (batch.step()) {
        limited.kv_budget = std::max(limited.kv_budget, session.client().stats().kv_bytes);
      }
    }
    testing::TestWorker worker(testing::checkpoint_path("llama3-gqa"), DType::kF32, limited);
    testing::TestSession session(worker, model_.config());
    Engine engine(model_, plan, session.client());
    std::vector<TextGeneration> texts;
    for (std::size_t i = 0; i < count; ++i) texts.push_back(text(prompts[i], tokens));
    Ends ends;
    GenerationBatch batch(engine);
    for (std::size_t i = 0; i < count; ++i) batch.add(prompts[i], texts[i], {}, ends.take());
    while (batch.step()) {
    }
    ASSERT_EQ(ends.size(), count);
    for (std::uint64_t id = 0; id < count; ++id) {
      if (id < 2) {
        EXPECT_EQ(ends.code(id), std::nullopt);
        EXPECT_EQ(ids_of(texts[id]), alone(plan, prompts[id], tokens));
      } else {
        EXPECT_EQ(ends.code(id), ErrorCode::kResourceExhausted);
        EXPECT_EQ(texts[id].ids().empty(), count == 4) << texts[id].ids().size();
      }
    }
    EXPECT_EQ(session.client().stats().kv_bytes, 0);
  }
}

TEST_F(GenerationBatchTest, ACacheThatTheWorkerLostEndsItsGenerationAlone) {
  const Plan plan = exact("flash");
  testing::TestSession session(worker_, model_.config());
  Engine engine(model_, plan, session.client());
  const std::uint32_t before = engine.open().id();  // which the first that is added gets again
  std::vector<TextGeneration> texts;
  for (int i = 0; i < 3; ++i) texts.push_back(text(prompt(6, i), 8));
  Ends ends;
  GenerationBatch batch(engine);
  for (int i = 0; i < 3; ++i) {
    batch.add(prompt(6, i), texts[static_cast<std::size_t>(i)], {}, ends.take());
  }
  for (int step = 0; step < 3; ++step) ASSERT_TRUE(batch.step());
  session.client().end_sequence(before);
  while (batch.step()) {
  }
  ASSERT_EQ(ends.size(), 3U);
  EXPECT_EQ(ends.code(0), ErrorCode::kSessionLost);
  EXPECT_EQ(texts[0].ids().size(), 3U);
  for (const std::uint64_t id : {1U, 2U}) {
    EXPECT_EQ(ends.code(id), std::nullopt);
    EXPECT_EQ(ids_of(texts[id]), alone(plan, prompt(6, static_cast<std::int64_t>(id)), 8));
  }
}

TEST_F(GenerationBatchTest, AStopEndsItsGenerationAloneWithKInterrupted) {
  testing::TestSession session(worker_, model_.config());
  Engine engine(model_, exact("runner-attention"), session.client());
  TextGeneration stopped = text(prompt(4, 1), 6);
  TextGeneration other = text(prompt(4, 2), 6);
  const StopSource stop;
  Ends ends;
  GenerationBatch batch(engine);
  const auto id = batch.add(prompt(4, 1), stopped, {}, ends.take(), stop.token());
  batch.add(prompt(4, 2), other, {}, ends.take());
  batch.step();
  stop.request_stop();
  while (batch.step()) {
  }
  ASSERT_EQ(ends.size(), 2U);
  EXPECT_EQ(ends.code(id), ErrorCode::kInterrupted);
  EXPECT_EQ(stopped.ids().size(), 1U);
  EXPECT_EQ(other.ids().size(), 6U);
}

TEST_F(GenerationBatchTest, AStopOfTheEngineEndsAll) {
  testing::TestSession session(worker_, model_.config());
  const StopSource stop;
  EngineOptions options;
  options.stop = stop.token();
  Engine engine(model_, exact("blocks"), session.client(), options);
  std::vector<TextGeneration> texts;
  for (int i = 0; i < 3; ++i) texts.push_back(text(prompt(4, i), 6));
  Ends ends;
  GenerationBatch batch(engine);
  for (int i = 0; i < 3; ++i) {
    batch.add(prompt(4, i), texts[static_cast<std::size_t>(i)], {}, ends.take());
  }
  batch.step();
  stop.request_stop();
  EXPECT_FALSE(batch.step());
  for (std::uint64_t id = 0; id < 3; ++id) EXPECT_EQ(ends.code(id), ErrorCode::kInterrupted);
  EXPECT_EQ(engine.open_sequences(), 0);
}

TEST_F(GenerationBatchTest, AnErrorThatEndsTheSessionIsThatOfAllAndSaysWhy) {
  // Refused for what may be one sequence's own, but then nobody is there to ask again.
  for (const auto& [sent, expected] :
       {std::pair(std::optional(ErrorCode::kResourceExhausted), ErrorCode::kResourceExhausted),
        {std::optional(ErrorCode::kSessionLost), ErrorCode::kSessionLost},
        {std::optional<ErrorCode>(), ErrorCode::kConnectionLost}}) {
    auto ends_of_link = testing::make_ends(Transport::kUnix);
    std::thread hostile([&, sent = sent, end = std::move(ends_of_link.second)]() mutable {
      testing::RawPeer peer(std::move(end));
      peer.read();
      peer.send(FrameType::kWelcome, 0,
                testing::message_bytes(
                    WelcomeMessage{worker_.fingerprint(), DType::kF32, "raw", "raw worker", 1, 0}));
      const auto call = peer.read();
      if (sent) {
        peer.send(FrameType::kFailure, call->header.request_id,
                  testing::message_bytes(FailureMessage{*sent, "no"}));
      }
      peer.close();
    });
    {
      RemoteClient client(std::move(ends_of_link.first), model_.config(), worker_.fingerprint(), {},
                          nullptr);
      Engine engine(model_, exact("blocks"), client);
      std::vector<TextGeneration> texts;
      for (int i = 0; i < 3; ++i) texts.push_back(text(prompt(4, i), 6));
      Ends ends;
      GenerationBatch batch(engine);
      for (int i = 0; i < 3; ++i) {
        batch.add(prompt(4, i), texts[static_cast<std::size_t>(i)], {}, ends.take());
      }
      EXPECT_FALSE(batch.step());
      ASSERT_EQ(ends.size(), 3U);
      for (std::uint64_t id = 0; id < 3; ++id) EXPECT_EQ(ends.code(id), expected);
      EXPECT_EQ(engine.open_sequences(), 0);
    }
    hostile.join();
  }
}

TEST_F(GenerationBatchTest, WhoIsToldOfAnEndMayAddTheNext) {
  testing::TestSession session(worker_, model_.config());
  EngineOptions options;
  options.max_sequences = 1;
  Engine engine(model_, exact("flash"), session.client(), options);
  std::vector<TextGeneration> texts;
  for (int i = 0; i < 3; ++i) texts.push_back(text(prompt(4, i), 3));
  GenerationBatch batch(engine);
  std::size_t at = 0;
  std::function<void()> add_next = [&] {
    batch.add(prompt(4, static_cast<std::int64_t>(at)), texts[at], {}, [&](const GenerationEnd&) {
      if (++at < texts.size()) add_next();
    });
  };
  add_next();
  while (batch.step()) {
  }
  for (const TextGeneration& each : texts) EXPECT_EQ(each.ids().size(), 3U);
}

}  // namespace
}  // namespace airlock::generation_batch_test
