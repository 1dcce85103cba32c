// A checkpoint whose file is cut while a runner and a worker have it open: neither dies of it.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/runner/executor.h"
#include "airlock/shield/ring_model.h"
#include "airlock/worker/checkpoint_source.h"

#include "tests/engine/golden.h"
#include "tests/support/plans.h"
#include "tests/support/split.h"
#include "tests/support/temp_dir.h"

namespace airlock::truncated_model_test {
namespace {

using ::testing::HasSubstr;

const std::vector<std::int64_t> kIds = {1, 5, 9, 2, 40, 7};

/// A copy of a golden checkpoint, to be damaged.
class TruncatedModel : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { std::filesystem::copy(testing::checkpoint_path(GetParam()), dir()); }

  [[nodiscard]] std::filesystem::path dir() const { return temp_ / "model"; }
  /// Leaves the headers of files, and nothing of weights that lies on another page.
  void truncate() const {
    for (const auto& entry : std::filesystem::directory_iterator(dir())) {
      if (entry.path().extension() == ".safetensors") std::filesystem::resize_file(entry, 64);
    }
  }

 private:
  testing::TempDir temp_;
};

void expect_truncated(const std::function<void()>& action) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("has 64 bytes, but had"));
    EXPECT_THAT(error.what(), HasSubstr(".safetensors: "));
  }
}

TEST_P(TruncatedModel, OnceLoadedRunsEveryPlanAsBefore) {
  testing::TestWorker worker(dir(), DType::kF32);
  const RunnerModel model(Checkpoint::open(dir()));
  testing::TestSession session(worker, model.config());
  std::vector<std::unique_ptr<Executor>> executors;
  std::vector<std::vector<float>> expected;
  const auto tokens = static_cast<std::int64_t>(kIds.size());
  for (Plan plan : testing::plain_plans()) {
    for (const Side side : {Side::kWorker, Side::kRunner}) {
      plan.embedding = side;
      plan.lm_head = side;
      executors.push_back(std::make_unique<Executor>(model, plan, session.client()));
      const auto logits = executors.back()->run(Pass{0, tokens, tokens}, kIds);
      expected.emplace_back(logits.begin(), logits.end());
    }
  }
  truncate();
  for (std::size_t i = 0; i < executors.size(); ++i) {
    const auto logits = executors[i]->run(Pass{0, tokens, tokens}, kIds);
    EXPECT_TRUE(std::equal(logits.begin(), logits.end(), expected[i].begin(), expected[i].end()))
        << executors[i]->plan().name;
  }
}

TEST_P(TruncatedModel, IsOneErrorOfWhateverStillReadsIt) {
  const auto checkpoint = Checkpoint::open(dir());
  const RunnerModel model(checkpoint);
  RingModel ring(*checkpoint, {.checks = 1});
  CheckpointSource source(checkpoint);
  source.release(source.tensor(Weight::kLmHead));
  truncate();
  expect_truncated([&] { (void)compute_fingerprint(*checkpoint); });
  expect_truncated([&] { RunnerModel{checkpoint}; });
  expect_truncated([&] { (void)model.embedding(); });
  expect_truncated([&] { (void)model.lm_head(DType::kF32); });
  expect_truncated([&] { ring.renew_keys(); });
  expect_truncated([&] { (void)make_cpu_backend(source, {}); });
}

TEST_P(TruncatedModel, WhileItLoadsIsOneError) {
  CheckpointSource source(Checkpoint::open(dir()));
  CpuBackendOptions options;
  options.progress = [&, cut = false](std::int64_t, std::int64_t) mutable {
    if (!std::exchange(cut, true)) truncate();
  };
  expect_truncated([&] { (void)make_cpu_backend(source, options); });
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, TruncatedModel, ::testing::Values("bf16", "llama2"));

TEST(CheckpointSource, KeepsTheEmbeddingOfATiedModelWhenItsLmHeadIsReleased) {
  CheckpointSource source(Checkpoint::open(testing::checkpoint_path("bf16")));
  ASSERT_TRUE(source.config().tie_embeddings);
  const ConstTensor embedding = source.tensor(Weight::kEmbedding);
  const ConstTensor head = source.tensor(Weight::kLmHead);
  EXPECT_EQ(head.data, embedding.data);
  const std::vector<std::byte> before(embedding.data, embedding.data + embedding.bytes());
  source.release(head);
  EXPECT_EQ(source.tensor(Weight::kEmbedding).data, embedding.data);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), embedding.data));
}

}  // namespace
}  // namespace airlock::truncated_model_test
