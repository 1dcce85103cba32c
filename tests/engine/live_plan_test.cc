#include "airlock/engine/live_plan.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "airlock/engine/measure.h"
#include "airlock/runner/executor.h"
#include "airlock/worker/inproc_worker.h"

#include "tests/support/paths.h"

namespace airlock::live_plan_test {
namespace {

class LivePlan : public ::testing::Test {
 protected:
  LivePlan()
      : model_(Checkpoint::open(testing::data_dir() / "checkpoints" / "llama3-gqa")),
        fingerprint_(compute_fingerprint(model_.checkpoint())) {
    options_.transport = Transport::kInproc;
    options_.compute.dtype = DType::kF32;
    options_.load_inproc = load_inproc_worker;
    options_.client.lanes = 8;
  }

  RunnerModel model_;
  Fingerprint fingerprint_;
  WorkerOptions options_;
};

TEST_F(LivePlan, MeasuresBothSidesWithoutALineInTheLedger) {
  MemoryLedger ledger;
  WorkerSession session(model_, fingerprint_, options_, &ledger);
  const HostRates rates = measure_host_rates(model_, session);
  EXPECT_TRUE(ledger.entries().empty());
  ASSERT_GE(rates.worker.size(), 2U);
  for (std::size_t i = 0; i < rates.worker.size(); ++i) {
    EXPECT_GT(rates.worker[i].flops, 0);
    if (i > 0) {
      EXPECT_GT(rates.worker[i].rows, rates.worker[i - 1].rows);
    }
  }
  EXPECT_GT(rates.runner_flops, 0);
  EXPECT_GT(rates.runner_bytes, 0);
  EXPECT_GT(rates.send_rate, 0);
  EXPECT_GT(rates.receive_rate, 0);
  EXPECT_GT(rates.rtt_ms, 0);
  EXPECT_TRUE(rates.same_cores) << "the worker is a thread of this process";
}

TEST_F(LivePlan, TheSessionGoesOnWithTheChoiceAndItsLanes) {
  MemoryLedger ledger;
  WorkerSession session(model_, fingerprint_, options_, &ledger);
  LiveRequest request;
  request.prompt = 64;
  request.must_not_see = {"logits"};
  request.fixed.chunk = 16;
  const PlanChoice choice = choose_live_plan(model_, session, request);
  EXPECT_EQ(choice.plan.lm_head, Side::kRunner);
  EXPECT_EQ(choice.plan.chunk, 16);
  EXPECT_EQ(choice.why.size(), 2U);
  EXPECT_EQ(session.lanes(), choice.lanes);
  EXPECT_LE(choice.lanes, 8);
  Executor executor(model_, choice.plan, session.endpoint());
  const std::vector<std::int64_t> ids(64, 1);
  EXPECT_FALSE(executor.run(make_passes(choice.plan, 64, 0), ids).empty());
  EXPECT_EQ(static_cast<std::int64_t>(ledger.entries().size()), choice.traffic.calls());
}

TEST_F(LivePlan, NoMoreLanesAreTakenThanWereAllowed) {
  WorkerSession session(model_, fingerprint_, options_, nullptr);
  LiveRequest request;
  request.prompt = 64;
  request.lanes = 1;
  (void)choose_live_plan(model_, session, request);
  EXPECT_EQ(session.lanes(), 1);
}

TEST_F(LivePlan, MeasureChoosesAndSaysWhyAndCountsWhatItPredicted) {
  MeasureOptions options;
  options.tokens = 32;
  options.repetitions = 1;
  options.choose = LiveRequest{};
  const Measurement m = measure(model_, fingerprint_, {}, options_, options, nullptr);
  EXPECT_EQ(m.why.size(), 2U);
  EXPECT_EQ(m.traffic, m.predicted);
  EXPECT_GE(m.lanes, 1);
  EXPECT_LE(m.wire_bytes, m.traffic.total_bytes());
}

}  // namespace
}  // namespace airlock::live_plan_test
