// `airlock plan` and `airlock report` as a user meets them: the built binary, its exit codes, what
// it says on stdout and on stderr.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "airlock/plan/predict.h"

#include "tests/report/fake_ledger.h"
#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"

namespace airlock::cli_test {
namespace {
using ::testing::HasSubstr;

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

class Cli : public ::testing::Test {
 protected:
  /// Runs `airlock` with a shell's words.
  Result run(const std::string& words) const {
    const std::string command = testing::airlock_program() + " " + words + " >" + file("out") +
                                " 2>" + file("err") + " </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text(file("out")), text(file("err"))};
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  static std::string text(const std::string& path) { return testing::read_file(path); }
  std::string ledger(const std::string& name, const std::string& plan, std::int64_t tokens) const {
    FileLedger out(file(name));
    const Ledger ledger = headed(llama_1b(), find_plan(plan), tokens);
    out.begin(*ledger.header);
    for (const LedgerEntry& e : ledger.entries) out.record(e);
    out.close();
    return file(name);
  }
  void expect_error(const std::string& words, int code, const std::string& message) const {
    const Result result = run(words);
    EXPECT_EQ(result.code, code) << words;
    EXPECT_EQ(result.out, "") << words;
    EXPECT_THAT(result.err, HasSubstr(message)) << words;
  }

  testing::TempDir folder_;
};

TEST_F(Cli, PlanPrintsTheContractsJson) {
  const Result result = run("plan -m llama-3.2-1b --tokens 1024 --plan all --format json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::ordered_json::parse(result.out);
  ASSERT_EQ(json.size(), preset_plans().size());
  std::vector<std::string> keys;
  for (const auto& [key, value] : json[0].items()) keys.push_back(key);
  EXPECT_EQ(keys,
            (std::vector<std::string>{
                "plan", "model", "tokens", "wire_dtype", "calls", "sent_bytes", "received_bytes",
                "total_bytes", "prepared_bytes", "pad_rows", "worker_sees", "assumes", "ops"}));
  for (std::size_t i = 0; i < json.size(); ++i) {
    const Traffic traffic = predict_traffic(llama_1b(), preset_plans()[i], 1024, 0);
    EXPECT_EQ(json[i]["plan"], preset_plans()[i].name);
    EXPECT_EQ(json[i]["calls"], traffic.calls());
    EXPECT_EQ(json[i]["sent_bytes"], traffic.sent_bytes());
    EXPECT_EQ(json[i]["received_bytes"], traffic.received_bytes());
    EXPECT_EQ(json[i]["total_bytes"], traffic.total_bytes());
    std::int64_t bytes = 0;
    for (const auto& op : json[i]["ops"]) {
      bytes += op["sent_bytes"].get<std::int64_t>() + op["received_bytes"].get<std::int64_t>();
    }
    EXPECT_EQ(bytes, traffic.total_bytes());
  }
  EXPECT_EQ(json[5]["worker_sees"],
            (std::vector<std::string>{"prompt", "hidden", "qkv", "mlp", "logits"}));
}

TEST_F(Cli, PlanTableHasThePublishedFigures) {
  const Result result = run("plan -m llama-3.2-1b");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("3489677312  3834106880   6984.505"));
  EXPECT_THAT(result.out, HasSubstr("worker sees"));
}

TEST_F(Cli, PlanEstimatesTimeAndGenerationOnlyWhenAsked) {
  const auto json = nlohmann::json::parse(
      run("plan -m tiny --tokens 8 -n 3 --plan flash --bandwidth 1MB/s --rtt 1ms --format json")
          .out);
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["generated"], 3);
  const double bytes = json[0]["total_bytes"].get<double>();
  // Printed with six digits.
  EXPECT_NEAR(json[0]["estimated_ms"].get<double>(),
              json[0]["calls"].get<double>() + bytes / 1e6 * 1e3, 1e-6);
}

TEST_F(Cli, KnobsNameThePlan) {
  const Result result =
      run("plan -m tiny --plan baseline,flash --attention flash --wire-dtype f16 --format csv");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("\r\nbaseline+flash+f16,tiny,1024,f16,"));
  EXPECT_EQ(result.out.find("\r\nflash+f16"), std::string::npos) << "the same plan twice";
}

TEST_F(Cli, PlanAutoExplainsItselfInTwoLines) {
  const Result result =
      run("plan -m llama-3.2-1b --plan auto --must-not-see prompt,scores --bandwidth 1GB/s "
          "--format csv");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("runner-attention+mlp-block+runner-embedding"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 2);
}

TEST_F(Cli, WrongUseOfPlanIsRefusedWithTheReason) {
  const std::string plan = "plan -m llama-3.2-1b ";
  expect_error(plan + "--tokens 0", 2, "0 tokens to prefill, expected at least 1");
  expect_error(plan + "--tokens -5", 2, "-5 tokens");
  expect_error(plan + "--tokens 131073", 2, "pass the model's context of 131072");
  expect_error(plan + "--tokens 131072 -n 2", 2, "pass the model's context of 131072");
  expect_error(plan + "--tokens 99999999999999999999", 2, "tokens");
  expect_error(plan + "--plan flsh", 2, "did you mean `flash`");
  expect_error(plan + "--plan flash,", 2, "unknown plan ``");
  expect_error(plan + "--attention flsh", 2, "--attention: unknown attention `flsh`");
  expect_error(plan + "--wire-dtype i64", 2, "cannot travel as i64");
  expect_error(plan + "--chunk -1", 2, "chunk is -1 tokens");
  expect_error(plan + "--format xml", 2, "expected one of table, md, csv, json");
  expect_error(plan + "--bandwidth fast", 2, "162MB/s");
  expect_error(plan + "--must-not-see prompt", 2, "use it with --plan auto");
  expect_error(plan + "--plan auto --must-not-see prompts", 2, "did you mean `prompt`");
  expect_error(plan + "--plan auto --must-not-see hidden --attention flash", 1,
               "the knobs that are set show the worker hidden");
  expect_error("plan -m llama-3.2-1", 1, "did you mean `llama-3.2-1b`");
  expect_error("plan", 2, "--model is required");
  expect_error("plam", 2, "");
  expect_error("", 2, "subcommand");
}

TEST_F(Cli, ReportReadsALedgerAndWritesPageAndTrace) {
  const std::string path = ledger("run.jsonl", "baseline", 1024);
  const Result result =
      run("report " + path + " --html " + file("page.html") + " --perfetto " + file("trace.json"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("98 calls: 3489677312 bytes sent, 3834106880 received"));
  EXPECT_THAT(result.out, HasSubstr("prediction: equal"));
  EXPECT_THAT(text(file("page.html")), HasSubstr("data-total-bytes=\"7323784192\""));
  EXPECT_TRUE(nlohmann::json::parse(text(file("trace.json"))).contains("traceEvents"));
  EXPECT_THAT(result.err, HasSubstr("wrote " + file("page.html")));
}

TEST_F(Cli, ReportComparesSeveralLedgers) {
  const Result result = run("report " + ledger("a.jsonl", "baseline", 64) + " " +
                            ledger("b.jsonl", "blocks", 64) + " --format csv");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\r\ncalls,98,34,0.347\r\n"));
}

TEST_F(Cli, LedgersThatAreNoneAreRefused) {
  const std::string path = ledger("run.jsonl", "flash", 8);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 10);
  expect_error("report " + path, 1, "run.jsonl:83: the last line is cut off");
  std::ofstream(file("config.json")) << "{\"model_type\": \"llama\"}\n";
  expect_error("report " + file("config.json"), 1, "config.json:1: no key \"call\"");
  std::ofstream(file("empty")).close();
  expect_error("report " + file("empty"), 1, "empty");
  expect_error("report " + file("none.jsonl"), 1, "no such ledger");
  expect_error("report " + folder_.path().string(), 1, "a folder");
  expect_error("report", 2, "required");
}

TEST_F(Cli, AnOutputThatCannotBeWrittenIsAnError) {
  const std::string path = ledger("run.jsonl", "flash", 8);
  const Result page = run("report " + path + " --html " + file("no/such/folder/page.html"));
  EXPECT_EQ(page.code, 1);
  EXPECT_THAT(page.err, HasSubstr("page.html: cannot create the file: No such file"));
  if (std::filesystem::exists("/dev/full")) {
    EXPECT_EQ(run("report " + path + " --perfetto /dev/full").code, 1);
  }
}

TEST_F(Cli, HelpAndVersionSucceedOnStdout) {
  EXPECT_EQ(run("--version").out.rfind("airlock ", 0), 0U);
  const Result help = run("plan --help");
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("--must-not-see"));
}

}  // namespace
}  // namespace airlock::cli_test
