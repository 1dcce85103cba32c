#include "airlock/report/perfetto.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include <gtest/gtest.h>

#include "tests/report/fake_ledger.h"

namespace airlock::perfetto_test {
namespace {

nlohmann::json trace_of(const std::vector<LedgerEntry>& ledger, const std::string& name = "a") {
  const Report report = make_report(name, {{}, ledger});
  const NamedLedger named{&report, ledger};
  return nlohmann::json::parse(render_perfetto({&named, 1}));
}

TEST(RenderPerfetto, RunnerLinkAndWorkerAreTracks) {
  const auto trace = trace_of(fake_ledger(odd_model(), find_plan("flash"), 9, 2), "x\"<y>.jsonl");
  std::map<int, std::string> threads;
  for (const auto& event : trace["traceEvents"]) {
    if (event["name"] == "thread_name") threads[event["tid"]] = event["args"]["name"];
    if (event["name"] == "process_name") {
      EXPECT_EQ(event["args"]["name"], "x\"<y>.jsonl");
    }
  }
  EXPECT_EQ(threads, (std::map<int, std::string>{{1, "runner"}, {2, "link"}, {3, "worker"}}));
}

TEST(RenderPerfetto, EachCallIsFiveSpansThatFollowOneAnotherOnTheirTracks) {
  const auto ledger = fake_ledger(odd_model(), find_plan("baseline"), 9, 2);
  const auto trace = trace_of(ledger);
  std::map<std::int64_t, std::vector<nlohmann::json>> spans;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "X") spans[event["args"]["call"]].push_back(event);
  }
  ASSERT_EQ(spans.size(), ledger.size());
  for (const LedgerEntry& e : ledger) {
    const auto& five = spans[e.call];
    ASSERT_EQ(five.size(), 5U);
    const int tracks[] = {1, 2, 3, 2, 1};
    double at = e.start_ms * 1e3;
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(five[i]["tid"], tracks[i]);
      EXPECT_EQ(five[i]["cat"], op_name(e.op));
      // Times are written to 0.001 us; five sums of rounded numbers stay within 0.003.
      EXPECT_NEAR(five[i]["ts"].get<double>(), at, 0.003);
      at += five[i]["dur"].get<double>();
    }
    EXPECT_NEAR(at, (e.start_ms + e.total_ms) * 1e3, 0.006);
    EXPECT_EQ(five[1]["args"]["bytes"], e.sent_bytes);
    EXPECT_EQ(five[3]["args"]["bytes"], e.received_bytes);
  }
}

TEST(RenderPerfetto, SeveralLedgersAreSeveralProcesses) {
  const auto ledger = fake_ledger(odd_model(), find_plan("flash"), 3);
  const Report report = make_report("a", {{}, ledger});
  const NamedLedger both[] = {{&report, ledger}, {&report, ledger}};
  std::set<int> processes;
  const auto trace = nlohmann::json::parse(render_perfetto(both));
  for (const auto& event : trace["traceEvents"]) processes.insert(event["pid"].get<int>());
  EXPECT_EQ(processes, (std::set<int>{1, 2}));
}

TEST(RenderPerfetto, StagesThatTookNoTimeLeaveNoSpan) {
  LedgerEntry e;
  e.op = Op::kMatmul;
  e.worker_ms = e.total_ms = 2;
  int spans = 0;
  const auto trace = trace_of({e});
  for (const auto& event : trace["traceEvents"]) spans += event["ph"] == "X" ? 1 : 0;
  EXPECT_EQ(spans, 1);
}

}  // namespace
}  // namespace airlock::perfetto_test
