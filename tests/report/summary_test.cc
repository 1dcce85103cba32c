#include "airlock/report/summary.h"

#include <gtest/gtest.h>

#include "tests/report/fake_ledger.h"

namespace airlock::summary_test {
namespace {

TEST(Summarize, ThePublishedBaselineAddsUpToTheByte) {
  const Summary s = summarize(fake_ledger(llama_1b(), find_plan("baseline"), 1024));
  EXPECT_EQ(s.all.calls, 98);
  EXPECT_EQ(s.all.sent_bytes, 3489677312);
  EXPECT_EQ(s.all.received_bytes, 3834106880);
  EXPECT_EQ(s.all.overhead_bytes, 98 * 200);
  EXPECT_EQ(s.traffic(), predict_traffic(llama_1b(), find_plan("baseline"), 1024, 0));
}

TEST(Summarize, OperatorsAndLayersEachAddUpToTheTotal) {
  for (const Plan& plan : preset_plans()) {
    const Summary s = summarize(fake_ledger(odd_model(), plan, 33, 5));
    Totals ops;
    for (const OpTotals& op : s.ops) {
      ops.calls += op.totals.calls;
      ops.sent_bytes += op.totals.sent_bytes;
      ops.received_bytes += op.totals.received_bytes;
    }
    EXPECT_EQ(ops.calls, s.all.calls) << plan.name;
    EXPECT_EQ(ops.bytes(), s.all.bytes()) << plan.name;
    std::int64_t bytes = 0;
    for (const LayerTotals& layer : s.layers) bytes += layer.totals.bytes();
    EXPECT_EQ(bytes, s.all.bytes()) << plan.name;
    ASSERT_EQ(s.layers.size(), 4U);
    EXPECT_EQ(s.layers.front().layer, -1);
    EXPECT_EQ(s.layers.back().layer, 2);
  }
}

TEST(Summarize, StagesAndPausesAddUpToTheWall) {
  const std::vector<LedgerEntry> ledger = fake_ledger(odd_model(), find_plan("flash"), 7, 3);
  const Summary s = summarize(ledger);
  double sum = 0;
  for (const StageTime& stage : s.stages()) sum += stage.ms;
  // Every time here is a multiple of 2^-k times a few units; only the sums round.
  EXPECT_NEAR(sum, s.wall_ms, 1e-9 * s.wall_ms);
  EXPECT_NEAR(s.between_ms, 0.5 * static_cast<double>(ledger.size() - 1), 1e-9 * s.wall_ms);
  EXPECT_EQ(s.stages().front().name, "encode");
}

TEST(Summarize, TheTopFiveAreTheTopFiveOfASort) {
  std::vector<LedgerEntry> ledger;
  const int sizes[] = {5, 1, 9, 9, 3, 7, 2, 8, 9, 0};
  for (int i = 0; i < 10; ++i) {
    LedgerEntry e;
    e.call = i;
    e.op = Op::kMatmul;
    e.sent_bytes = sizes[i];
    e.total_ms = 10 - sizes[i];
    ledger.push_back(e);
  }
  const Summary s = summarize(ledger);
  const auto calls = [](const std::vector<LedgerEntry>& entries) {
    std::vector<std::int64_t> list;
    for (const LedgerEntry& e : entries) list.push_back(e.call);
    return list;
  };
  EXPECT_EQ(calls(s.largest), (std::vector<std::int64_t>{2, 3, 8, 7, 5}));
  EXPECT_EQ(calls(s.slowest), (std::vector<std::int64_t>{9, 1, 6, 4, 0}));
}

TEST(Summarize, InitIsCountedApart) {
  std::vector<LedgerEntry> ledger = fake_ledger(odd_model(), find_plan("bf16"), 4);
  const Summary without = summarize(ledger);
  LedgerEntry init;
  init.op = Op::kInit;
  init.sent_bytes = 1000;
  init.total_ms = 50;
  ledger.insert(ledger.begin(), init);
  const Summary with = summarize(ledger);
  EXPECT_EQ(with.all.bytes(), without.all.bytes());
  EXPECT_EQ(with.all.calls, without.all.calls);
  EXPECT_EQ(with.init.calls, 1);
  EXPECT_EQ(with.init.sent_bytes, 1000);
}

TEST(Summarize, ThroughputIsPayloadOverTimeInCalls) {
  LedgerEntry e;
  e.op = Op::kMatmul;
  e.sent_bytes = 1000000;
  e.received_bytes = 500000;
  e.overhead_bytes = 12345;
  e.total_ms = 10;
  EXPECT_DOUBLE_EQ(summarize(std::vector{e}).all.megabytes_per_second(), 150.0);
}

TEST(Summarize, NothingIsNothing) {
  const Summary s = summarize({});
  EXPECT_EQ(s.all.calls, 0);
  EXPECT_EQ(s.wall_ms, 0);
  EXPECT_EQ(s.all.megabytes_per_second(), 0);
  EXPECT_TRUE(s.ops.empty());
  EXPECT_TRUE(s.largest.empty());
}

}  // namespace
}  // namespace airlock::summary_test
