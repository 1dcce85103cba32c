// airlock perplexity as its users meet it.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"

namespace airlock::perplexity_test {
namespace {

class CliPerplexity : public testing::CliFixture {
 protected:
  void SetUp() override {
    CliFixture::SetUp();
    write("text", "It is a truth universally acknowledged, that a single man.");
  }
  std::string write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = dir() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  std::unique_ptr<testing::Process> perplexity(std::vector<std::string> more) {
    more.insert(more.begin(), {"perplexity", "-m", model(), "--text", (dir() / "text").string()});
    return start(more);
  }
  std::vector<nlohmann::json> rows(std::vector<std::string> more) {
    more.insert(more.end(), {"--format", "json"});
    auto run = perplexity(more);
    EXPECT_EQ(run->wait(), 0) << run->err();
    return nlohmann::json::parse(run->out()).get<std::vector<nlohmann::json>>();
  }
};

/// Sums of a few hundred f32 terms, in another order for each plan, move a logit of this model by
/// less than 5e-6, and perplexity, an exponential of a mean of them, by less than twice that.
constexpr double kF32Percent = 1e-3;

TEST_F(CliPerplexity, MeasuresEveryPlanWithEveryWireDTypeOnce) {
  const auto all =
      rows({"--plan", "all", "--wire-dtype", "all", "--window", "24", "--compute-dtype", "f32"});
  // The reference, five attentions over four wires, and the ring's three plans with their own.
  ASSERT_EQ(all.size(), 1U + 5 * 4 + 3);
  EXPECT_EQ(all[0]["plan"], "in one process");
  EXPECT_TRUE(all[0]["total_bytes"].is_null());
  std::vector<std::string> names;
  for (const auto& row : all) {
    names.push_back(row["plan"]);
    EXPECT_EQ(row["tokens"], all[0]["tokens"]);
    EXPECT_EQ(row["window"], 24);
    EXPECT_EQ(row["stride"], 12);
    EXPECT_GT(row["perplexity"].get<double>(), 1.0);
    EXPECT_EQ(row["compute_dtype"], "f32");
    if (row["wire_dtype"] == "f32") {
      EXPECT_NEAR(row["perplexity_change_percent"].get<double>(), 0, kF32Percent) << row;
    }
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

TEST_F(CliPerplexity, CutsALongTextAndCountsTheBytesOfItsWindow) {
  // Byte-level tokens: "It is a " is BOS and eight of them; the last is scored, not fed.
  const auto two =
      rows({"--plan", "baseline,blocks", "--max-tokens", "8", "--compute-dtype", "f32"});
  ASSERT_EQ(two.size(), 3U);
  for (const auto& row : two) {
    EXPECT_EQ(row["tokens"], 8);
    EXPECT_EQ(row["windows"], 1);
    EXPECT_EQ(row["compute_dtype"], "f32");
  }
  const ModelConfig config = *find_preset("tiny");
  const std::int64_t rows_sent = 8 * config.hidden;
  EXPECT_EQ(two[2]["sent_bytes"], 8 * 8 + 2 * rows_sent * (2 * config.layers + 1));
  EXPECT_EQ(two[2]["received_bytes"],
            2 * rows_sent * (2 * config.layers + 1) + 2 * 8 * config.vocab);
}

TEST_F(CliPerplexity, ATextThatBeginsWithBosIsSaidAndMayHaveTheOnlyOne) {
  const auto scored = [this](std::vector<std::string> more, bool said) {
    more.insert(more.end(), {"--plan", "baseline", "--compute-dtype", "f32", "--format", "json"});
    auto run = perplexity(std::move(more));
    EXPECT_EQ(run->wait(), 0) << run->err();
    EXPECT_EQ(run->err().find("begins with <|begin_of_text|>") != std::string::npos, said);
    const auto json = nlohmann::json::parse(run->out());
    return std::pair(json[0]["tokens"].get<int>(), json[0]["perplexity"].get<double>());
  };
  const auto plain = scored({"--max-tokens", "8"}, false);
  write("text", "<|begin_of_text|>It is a truth universally acknowledged");
  EXPECT_EQ(scored({"--max-tokens", "9", "--no-bos"}, false), plain);
  EXPECT_NE(scored({"--max-tokens", "9"}, true), plain);
}

TEST_F(CliPerplexity, PerTokenIsARowATokenThatAddsUpToTheSummary) {
  const std::vector<std::string> flags = {
      "--plan", "baseline,blocks", "--window", "24", "--max-tokens",
      "40",     "--compute-dtype", "f32"};
  write("text", "A \"\x1b[2J\" and \xc3\xa9 in forty bytes or a few more of them.");
  const auto summary = rows(flags);
  auto more = flags;
  more.emplace_back("--per-token");
  const auto tokens = rows(more);
  ASSERT_EQ(tokens.size(), 40U);
  const std::vector<std::string> keys = {"reference_nll", "nll_baseline_f32", "nll_blocks_bf16"};
  for (std::size_t k = 0; k < keys.size(); ++k) {
    double sum = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      EXPECT_EQ(tokens[i]["position"], i);
      sum += tokens[i][keys[k]].get<double>();
    }
    EXPECT_NEAR(std::exp(sum / 40) / summary[k]["perplexity"].get<double>(), 1, 1e-5) << keys[k];
  }
  EXPECT_EQ(tokens[0]["text"], "A");
  EXPECT_EQ(tokens[3]["text"], "\x1b");
  auto shown = perplexity(more);
  EXPECT_EQ(shown->wait(), 0) << shown->err();
  EXPECT_NE(shown->out().find(R"("\u001b")"), std::string::npos) << shown->out();
  EXPECT_EQ(shown->out().find('\x1b'), std::string::npos);
}

TEST_F(CliPerplexity, ReadsTheTextOfAModelServedElsewhere) {
  const std::string uri = "unix://" + (dir() / "w.sock").string();
  auto worker = start({"worker", "-m", model(), "--listen", uri, "--compute-dtype", "f32"});
  ASSERT_TRUE(worker->says("listening on")) << worker->err();
  const auto there = rows({"--plan", "blocks", "--worker", uri});
  const auto here = rows({"--plan", "blocks", "--compute-dtype", "f32"});
  EXPECT_EQ(there, here);
}

TEST_F(CliPerplexity, RefusesWhatItCannotScoreInOneClearError) {
  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    std::string message;
  };
  const std::string empty = write("empty", "");
  const std::vector<std::string> base = {"perplexity", "-m", model(), "--text"};
  const std::string text = (dir() / "text").string();
  for (const Case& c :
       {Case{{empty}, 2, "0 tokens"},
        Case{{(dir() / "missing").string()}, 1, "missing: cannot read"},
        Case{{dir().string()}, 1, "cannot read"}, Case{{text, "--window", "100000"}, 2, "context"},
        Case{{text, "--window", "1"}, 2, "window of 1"},
        Case{{text, "--window", "8", "--stride", "8"}, 2, "stride of 8"},
        Case{{text, "--plan", "flsh"}, 2, "did you mean `flash`"},
        Case{{text, "--wire-dtype", "f32,f61"}, 2, "--wire-dtype"},
        Case{{text, "--format", "jsn"}, 2, "json"}}) {
    std::vector<std::string> arguments = base;
    arguments.insert(arguments.end(), c.arguments.begin(), c.arguments.end());
    auto run = start(arguments);
    EXPECT_EQ(run->wait(), c.exit_code) << run->err();
    EXPECT_NE(run->err().find(c.message), std::string::npos) << run->err();
    EXPECT_EQ(run->out(), "");
  }
  auto none = start({"perplexity", "-m", model()});
  EXPECT_EQ(none->wait(), 2);
  EXPECT_NE(none->err().find("--text"), std::string::npos) << none->err();
  auto missing = start({"perplexity", "-m", (dir() / "no-model").string(), "--text", text});
  EXPECT_EQ(missing->wait(), 1);
  EXPECT_NE(missing->err().find("no-model"), std::string::npos) << missing->err();
}

TEST_F(CliPerplexity, ARunHasOnlyOneWireDType) {
  auto run =
      start({"run", "-m", model(), "-p", "x", "--plan", "baseline", "--wire-dtype", "f32,bf16"});
  EXPECT_EQ(run->wait(), 2);
  EXPECT_NE(run->err().find("name 2 plans"), std::string::npos) << run->err();
}

}  // namespace
}  // namespace airlock::perplexity_test
