// A prefill in chunks with several calls under way: the numbers, and the bytes, of one at a time.
#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/plan/predict.h"
#include "airlock/runner/executor.h"

#include "tests/engine/golden.h"
#include "tests/support/split.h"

namespace airlock::lanes_test {
namespace {

constexpr const char* kCheckpoint = "llama3-gqa";
constexpr std::int64_t kPrompt = 128;
constexpr std::int64_t kGenerated = 3;

std::vector<std::int64_t> some_ids(std::int64_t vocab) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < kPrompt + kGenerated; ++i) ids.push_back((i * 7919 + 13) % vocab);
  return ids;
}

/// Logits of the prompt's last position, then of the tokens behind it, and what crossed for them.
struct Outcome {
  std::vector<float> logits;
  Traffic traffic;
};

class LanesTest : public ::testing::Test {
 protected:
  Outcome run(const Plan& plan, Transport transport, int lanes) {
    ClientOptions options;
    options.lanes = lanes;
    testing::TestSession session(worker_, model_.config(), transport, options);
    EXPECT_EQ(session.client().lanes(), lanes);
    Executor executor(model_, plan, session.client());
    const auto ids = some_ids(model_.config().vocab);
    Outcome outcome;
    const auto keep = [&](std::span<const float> logits) {
      outcome.logits.insert(outcome.logits.end(), logits.begin(), logits.end());
    };
    keep(executor.run(make_passes(plan, kPrompt, 0), std::span(ids).first(kPrompt)));
    for (std::int64_t at = kPrompt; at < kPrompt + kGenerated - 1; ++at) {
      keep(executor.run(Pass{at, 1, 1}, std::span(ids).subspan(static_cast<std::size_t>(at), 1)));
    }
    for (const LedgerEntry& entry : session.ledger.entries()) {
      outcome.traffic.add(entry.op, entry.sent_bytes, entry.received_bytes);
    }
    return outcome;
  }

  std::shared_ptr<const Checkpoint> checkpoint_ =
      Checkpoint::open(testing::checkpoint_path(kCheckpoint));
  RunnerModel model_{checkpoint_};
  testing::TestWorker worker_{testing::checkpoint_path(kCheckpoint), DType::kF32};
};

class Lanes : public LanesTest, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Plans, Lanes,
                         ::testing::Values("baseline", "combined", "runner-attention", "blocks"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Lanes, ChangeNoBitAndNoByteOverAnyLink) {
  Plan plan = find_plan(GetParam());
  // More chunks than lanes with a shorter one at the end, and fewer chunks than lanes.
  for (const std::int64_t chunk : {33, 100}) {
    plan.chunk = chunk;
    const Traffic predicted = predict_traffic(model_.config(), plan, kPrompt, kGenerated);
    const Outcome alone = run(plan, Transport::kInproc, 1);
    EXPECT_EQ(alone.logits.size(), static_cast<std::size_t>(kGenerated * model_.config().vocab));
    EXPECT_EQ(alone.traffic, predicted);
    for (const Transport transport :
         {Transport::kInproc, Transport::kUnix, Transport::kShm, Transport::kTcp}) {
      for (int lanes = 1; lanes <= 4; ++lanes) {
        const Outcome outcome = run(plan, transport, lanes);
        EXPECT_EQ(outcome.logits, alone.logits)
            << transport_name(transport) << ", " << lanes << " lanes, chunk " << chunk;
        EXPECT_EQ(outcome.traffic, predicted)
            << transport_name(transport) << ", " << lanes << " lanes, chunk " << chunk;
      }
    }
  }
}

TEST_P(Lanes, GiveTheLogitsOfTheWholePrefill) {
  Plan plan = find_plan(GetParam());
  plan.wire_dtype = DType::kF32;
  const Outcome whole = run(plan, Transport::kShm, 1);
  const double bound = testing::logit_bound(*checkpoint_, kPrompt + kGenerated);
  for (const std::int64_t chunk : {1, 33}) {
    plan.chunk = chunk;
    for (int lanes = 1; lanes <= 4; ++lanes) {
      const Outcome pieces = run(plan, Transport::kShm, lanes);
      ASSERT_EQ(pieces.logits.size(), whole.logits.size());
      double worst = 0;
      for (std::size_t i = 0; i < whole.logits.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(pieces.logits[i]) -
                                         static_cast<double>(whole.logits[i])));
      }
      EXPECT_LE(worst, bound) << lanes << " lanes, chunk " << chunk;
    }
  }
}

TEST_P(Lanes, ProgressThatThrowsEndsTheRunAndTheSequenceCanStartAnew) {
  Plan plan = find_plan(GetParam());
  plan.chunk = 33;
  ClientOptions options;
  options.lanes = 3;
  testing::TestSession session(worker_, model_.config(), Transport::kShm, options);
  std::int64_t end_at = 5;
  ExecutorOptions stopping;
  stopping.progress = [&](std::int64_t done, std::int64_t) {
    require(done != end_at, ErrorCode::kInterrupted, "enough");
  };
  Executor executor(model_, plan, session.client(), stopping);
  const auto ids = some_ids(model_.config().vocab);
  const auto passes = make_passes(plan, kPrompt, 0);
  const auto prompt = std::span(ids).first(kPrompt);
  EXPECT_THROW(executor.run(passes, prompt), Error);
  end_at = -1;
  const auto logits = executor.run(passes, prompt);
  const Outcome undisturbed = run(plan, Transport::kInproc, 1);
  EXPECT_TRUE(std::equal(logits.begin(), logits.end(), undisturbed.logits.begin()));
}

TEST_P(Lanes, AStoppedSequenceLeavesTheLinkToTheNext) {
  Plan plan = find_plan(GetParam());
  plan.chunk = 33;
  ClientOptions options;
  options.lanes = 3;
  testing::TestSession session(worker_, model_.config(), Transport::kShm, options);
  const StopSource engine;
  const StopSource sequence(engine.token());
  ExecutorOptions stopping;
  stopping.stop = sequence.token();
  stopping.progress = [&](std::int64_t done, std::int64_t) {
    if (done == 5) sequence.request_stop();
  };
  Executor stopped(model_, plan, session.client(), stopping);
  const auto ids = some_ids(model_.config().vocab);
  const auto passes = make_passes(plan, kPrompt, 0);
  const auto prompt = std::span(ids).first(kPrompt);
  try {
    stopped.run(passes, prompt);
    ADD_FAILURE() << "it ran to its end";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted) << error.what();
  }
  ExecutorOptions going;
  going.stop = engine.token();
  Executor next(model_, plan, session.client(), going);
  const auto logits = next.run(passes, prompt);
  const Outcome undisturbed = run(plan, Transport::kInproc, 1);
  EXPECT_TRUE(std::equal(logits.begin(), logits.end(), undisturbed.logits.begin()));
}

/// Counts which calls are under way together.
class Watched final : public TransparentOperators {
 public:
  using TransparentOperators::TransparentOperators;

  std::ptrdiff_t most_alike = 0;
  std::size_t most = 0;

 private:
  void begun(const Call& call, CallTicket) override {
    Call alike = call;
    alike.layer = 0;
    alike.inputs = {};
    under_way_.push_back(alike);
    most_alike = std::max(most_alike, std::count(under_way_.begin(), under_way_.end(), alike));
    most = std::max(most, under_way_.size());
  }
  void ended(CallTicket) override { under_way_.erase(under_way_.begin()); }

  std::vector<Call> under_way_;
};

TEST_F(LanesTest, AreSpreadOverALayerSoThatTheyDoNotAllWantTheSame) {
  Plan plan = find_plan("baseline");  // six calls a layer
  plan.chunk = 8;
  const auto ids = some_ids(model_.config().vocab);
  for (const int lanes : {2, 4, 6, 8, 12, 16}) {
    ClientOptions options;
    options.lanes = lanes;
    testing::TestSession session(worker_, model_.config(), Transport::kInproc, options);
    Watched watched(session.client());
    Executor executor(model_, plan, Endpoint(session.client()).through(watched));
    executor.run(make_passes(plan, kPrompt, 0), std::span(ids).first(kPrompt));
    EXPECT_EQ(watched.most, static_cast<std::size_t>(lanes));
    EXPECT_LE(2 * watched.most_alike, lanes) << lanes << " lanes";
  }
}

}  // namespace
}  // namespace airlock::lanes_test
