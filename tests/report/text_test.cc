#include "airlock/report/text.h"

#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/report/fake_ledger.h"

namespace airlock::text_test {
namespace {
using ::testing::HasSubstr;
using ::testing::Not;
constexpr TableFormat kFormats[] = {TableFormat::kText, TableFormat::kMarkdown, TableFormat::kCsv,
                                    TableFormat::kJson};

TEST(RenderReport, TextSaysTheTotalsToTheByte) {
  const Report report = make_report("a.jsonl", headed(llama_1b(), find_plan("baseline"), 1024));
  for (const TableFormat format : {TableFormat::kText, TableFormat::kMarkdown}) {
    const std::string text = render(report, format);
    EXPECT_THAT(text, HasSubstr("98 calls: 3489677312 bytes sent, 3834106880 received, "
                                "6984.505 MiB; 19600 bytes of framing"));
    EXPECT_THAT(text, HasSubstr("model fake (0123456789ab), 16 layers of 2048, q 2048, kv 512, ffn "
                                "8192, vocabulary 128256; plan baseline: 1024 prompt tokens, 1 "
                                "generated"));
    EXPECT_THAT(text, HasSubstr("the worker saw: prompt, hidden, qkv, scores, mlp, logits"));
    EXPECT_THAT(text, HasSubstr("Slowest calls"));
    EXPECT_THAT(text, HasSubstr("prediction: equal"));
  }
}

TEST(RenderReport, CompressedBytesAreSaidBesideTheRawOnes) {
  Ledger ledger = headed(odd_model(), find_plan("fused"), 9);
  const auto text = [&] { return render(make_report("a.jsonl", ledger), TableFormat::kText); };
  EXPECT_THAT(text(), Not(HasSubstr("compressed")));
  for (LedgerEntry& entry : ledger.entries) entry.sent_wire_bytes = entry.received_wire_bytes = 0;
  ledger.entries.front().sent_wire_bytes = 1 << 14;
  EXPECT_THAT(text(), HasSubstr("compressed to 0.016 MiB on the link"));
}

TEST(RenderReport, ThePredictionStandsBesideTheMeasurement) {
  const Ledger ledger = headed(odd_model(), find_plan("fused"), 9, 4);
  const auto text = [&](const ModelConfig* known) {
    return render(make_report("a.jsonl", ledger, known), TableFormat::kText);
  };
  EXPECT_THAT(text(nullptr), HasSubstr("predicted sent"));
  EXPECT_THAT(text(nullptr), HasSubstr("prediction: equal, "));
  ModelConfig other = odd_model();
  other.ffn += 1;
  EXPECT_THAT(text(&other), HasSubstr("prediction: measured differs by "))
      << "a model that was named counts, not the ledger's";
}

TEST(RenderReport, OfALedgerWithoutAFirstLineTheCallsAreShown) {
  const Ledger old = {{}, fake_ledger(odd_model(), find_plan("flash"), 9, 4)};
  const ModelConfig known = odd_model();
  for (const TableFormat format : kFormats) {
    const std::string text = render(make_report("a", old, &known), format);
    EXPECT_THAT(text, HasSubstr("FlashAttention"));
    EXPECT_THAT(text, Not(HasSubstr("prediction")));
    EXPECT_THAT(text, Not(HasSubstr("the worker saw")));
  }
  const auto json = nlohmann::json::parse(render(make_report("a", old), TableFormat::kJson));
  EXPECT_TRUE(json["plan"].is_null());
  EXPECT_TRUE(json["worker_sees"].is_null());
}

TEST(Verdict, SaysByHowMuchAndWhereItDiffers) {
  const ModelConfig known = odd_model();
  auto ledger = fake_ledger(odd_model(), find_plan("fused"), 9, 4);
  const Traffic predicted = predict_traffic(known, find_plan("fused"), 9, 4);
  EXPECT_THAT(verdict(summarize(ledger), predicted), HasSubstr("equal"));
  ledger.front().sent_bytes += 3;
  ledger.back().received_bytes -= 5;
  const std::string text = verdict(summarize(ledger), predicted);
  EXPECT_THAT(text, HasSubstr("differs by -2 bytes and +0 calls"));
  EXPECT_THAT(text, HasSubstr("Embedding: +3 sent, +0 received; LMHead: +0 sent, -5 received"));
  ledger.pop_back();
  EXPECT_THAT(verdict(summarize(ledger), predicted), HasSubstr("-1 calls"));
}

TEST(OperatorTable, AnOperatorThatWasPredictedButNeverCalledHasItsRow) {
  Traffic predicted;
  predicted.add(Op::kGatedMlp, 10, 20);
  const auto ledger = fake_ledger(odd_model(), find_plan("flash"), 3);
  const std::string csv = operator_table(summarize(ledger), predicted).render(TableFormat::kCsv);
  EXPECT_THAT(csv, HasSubstr("\r\nGatedMlp,0,0,0,"));
}

TEST(RenderReport, JsonHasEverythingAndSumsAgree) {
  const Ledger ledger = headed(odd_model(), find_plan("flash"), 9, 4);
  const auto json = nlohmann::json::parse(render(make_report("a", ledger), TableFormat::kJson));
  for (const char* key : {"name", "totals", "ops", "layers", "stages", "largest", "slowest",
                          "links", "wire_dtypes", "plan", "worker_sees", "predicted", "advice"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  std::int64_t bytes = 0;
  for (const auto& op : json["ops"]) bytes += op["total_bytes"].get<std::int64_t>();
  EXPECT_EQ(json["totals"]["total_bytes"], bytes);
  EXPECT_EQ(json["predicted"]["equal"], true);
  EXPECT_EQ(json["largest"].size(), 5U);
  EXPECT_EQ(json["plan"], "flash");
}

TEST(RenderReport, CallsThatAreNotThePlansAreReportedWithoutAPrediction) {
  Ledger ledger = headed(odd_model(), find_plan("flash"), 9);
  ledger.entries.front().sent_bytes += 1;  // no whole number of ids
  const Report report = make_report("a", ledger);
  const auto json = nlohmann::json::parse(render(report, TableFormat::kJson));
  EXPECT_EQ(json["plan"], "flash");
  EXPECT_TRUE(json["predicted"].is_null());
  EXPECT_THAT(render(report, TableFormat::kText), Not(HasSubstr("prediction")));
}

TEST(RenderReports, SeveralRunsAreComparedWithRatios) {
  const std::vector<Report> reports = {
      make_report("a", headed(llama_1b(), find_plan("baseline"), 1024)),
      make_report("b", headed(llama_1b(), find_plan("bf16"), 1024))};
  const std::string csv = render(reports, TableFormat::kCsv);
  EXPECT_THAT(csv, HasSubstr("what,a,b,b ratio\r\n"));
  EXPECT_THAT(csv, HasSubstr("\r\nsent bytes,3489677312,1744842752,0.500\r\n"));
  EXPECT_THAT(csv, HasSubstr("\r\ntotal MiB,6984.505,3492.256,0.500\r\n"));
  EXPECT_EQ(nlohmann::json::parse(render(reports, TableFormat::kJson)).size(), 2U);
}

TEST(RenderReports, AnEmptyRunAndHostileNamesRenderInEveryFormat) {
  Ledger ledger = headed(odd_model(), find_plan("flash"), 9);
  for (LedgerEntry& e : ledger.entries) e.link = "\x1b[31m|\xff";
  ledger.header->model = ledger.header->plan.name = ledger.header->fingerprint = "\x1b[31m|\xff";
  const std::vector<Report> reports = {make_report("\x1b]0;x\x07", ledger), make_report("", {})};
  for (const TableFormat format : kFormats) {
    for (const Report& report : reports) {
      const std::string text = render(report, format);
      EXPECT_FALSE(text.empty());
      EXPECT_EQ(text.find('\x1b'), std::string::npos);
    }
    EXPECT_FALSE(render(reports, format).empty());
  }
}

TEST(RenderSummary, IsTheOperatorsTheTotalsAndTheVerdict) {
  const Summary s = summarize(fake_ledger(odd_model(), find_plan("bf16"), 5));
  const std::string text = render(s, predict_traffic(odd_model(), find_plan("bf16"), 5, 0));
  EXPECT_THAT(text, HasSubstr("BatchLinear"));
  EXPECT_THAT(text, HasSubstr("MiB"));
  EXPECT_THAT(text, HasSubstr("prediction: equal"));
}

}  // namespace
}  // namespace airlock::text_test
