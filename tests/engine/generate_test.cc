#include "airlock/engine/generate.h"

#include <vector>

#include <gtest/gtest.h>

#include "airlock/worker/local_operators.h"

#include "tests/engine/golden.h"
#include "tests/engine/sampling_goldens.h"
#include "tests/model/tokenizer_goldens.h"
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

}  // namespace
}  // namespace airlock::generate_test
