// What `airlock run` prints: text up to an end, or JSON lines.
#include <nlohmann/json.hpp>
#include <sstream>

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"

namespace airlock::run_output_test {
namespace {

using Json = nlohmann::json;

class RunOutput : public testing::CliFixture {
 protected:
  std::string output_of(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "run", "-q", "-m", model(), "-p", "Hello", "--compute-dtype", "f32", "--link", "inproc"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto run = start(arguments);
    EXPECT_EQ(run->wait(), 0) << run->err();
    return run->out();
  }
  std::vector<Json> lines_of(const std::vector<std::string>& more) {
    std::istringstream out(output_of(more));
    std::vector<Json> lines;
    for (std::string line; std::getline(out, line);) lines.push_back(Json::parse(line));
    return lines;
  }
};

TEST_F(RunOutput, IdsAreThoseOfPromptAndContinuation) {
  const auto lines = lines_of({"-n", "6", "--ignore-eos", "--print-ids"});
  ASSERT_EQ(lines.size(), 2U);
  auto tokenize = start({"tokenize", "-m", model(), "-p", "Hello"});
  ASSERT_EQ(tokenize->wait(), 0) << tokenize->err();
  const auto prompt = lines[0]["prompt_ids"].get<std::vector<std::int64_t>>();
  EXPECT_EQ(fmt::format("{}\n", fmt::join(prompt, " ")), tokenize->out());
  EXPECT_EQ(lines[1]["finish_reason"], "length");

  std::vector<std::string> detokenize = {"detokenize", "-m", model()};
  for (const auto& id : lines[1]["generated_ids"]) detokenize.push_back(id.dump());
  ASSERT_EQ(detokenize.size(), 3 + 6U);
  auto text = start(detokenize);
  ASSERT_EQ(text->wait(), 0) << text->err();
  EXPECT_EQ(text->out() + "\n", output_of({"-n", "6", "--ignore-eos"}));
}

TEST_F(RunOutput, LogprobsAreALineATokenBetweenTheIds) {
  const auto lines = lines_of({"-n", "4", "--ignore-eos", "--print-ids", "--logprobs", "3"});
  ASSERT_EQ(lines.size(), 1 + 4 + 1U);
  for (std::size_t i = 0; i < 4; ++i) {
    const Json& line = lines[i + 1];
    EXPECT_EQ(line["token"], lines.back()["generated_ids"][i]);
    EXPECT_TRUE(line["text"].is_string());
    EXPECT_LT(line["logprob"].get<double>(), 0);
    ASSERT_EQ(line["top"].size(), 3U);
    // Greedy: the token is the likeliest.
    const Json& first = line["top"][0];
    EXPECT_EQ(first["token"], line["token"]);
    EXPECT_EQ(first["text"], line["text"]);
    EXPECT_EQ(first["logprob"], line["logprob"]);
    EXPECT_GE(first["logprob"].get<double>(), line["top"][1]["logprob"].get<double>());
  }
  const auto alone = lines_of({"-n", "4", "--ignore-eos", "--logprobs", "0"});
  ASSERT_EQ(alone.size(), 4U);
  EXPECT_EQ(alone[2]["token"], lines[3]["token"]);
  EXPECT_EQ(alone[2]["top"], Json::array());
}

TEST_F(RunOutput, EndsAtEachOfTheModelsEndTokens) {
  const Json ids = lines_of({"-n", "8", "--ignore-eos", "--print-ids"}).back()["generated_ids"];
  // A token as an end token, beside one that does not come; each time its first occurrence ends.
  const std::int64_t absent = 7;
  for (const std::size_t at : {std::size_t{1}, std::size_t{4}, std::size_t{7}}) {
    for (const bool first : {true, false}) {
      const Json eos = first ? Json{ids[at], absent} : Json{absent, ids[at]};
      testing::write_file(std::filesystem::path(model()) / "generation_config.json",
                          Json{{"eos_token_id", eos}}.dump());
      Json expected = Json::array();
      for (const auto& id : ids) {
        expected.push_back(id);
        if (id == ids[at] || id == absent) break;
      }
      const Json end = lines_of({"-n", "8", "--print-ids"}).back();
      EXPECT_EQ(end["generated_ids"], expected);
      EXPECT_EQ(end["finish_reason"], "stop");
    }
  }
}

TEST_F(RunOutput, EndsBeforeAStopText) {
  const std::string text = output_of({"-n", "8", "--ignore-eos"});
  ASSERT_GT(text.size(), 8U);
  // Begin and end at characters, wherever tokens do.
  std::size_t begin = text.size() / 2;
  while ((static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U) ++begin;
  std::size_t end = std::min(begin + 3, text.size() - 1);
  while ((static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
  const std::string stop = text.substr(begin, end - begin);
  EXPECT_EQ(output_of({"-n", "8", "--ignore-eos", "--stop", "[a,b]", "--stop", stop}),
            text.substr(0, text.find(stop)) + "\n");
  EXPECT_EQ(output_of({"-n", "8", "--ignore-eos", "--stop", "[a,b]"}), text);
}

TEST_F(RunOutput, OfNoTokensIsThePromptAlone) {
  const auto lines = lines_of({"-n", "0", "--print-ids", "--logprobs", "2"});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1]["generated_ids"], Json::array());
  EXPECT_EQ(output_of({"-n", "0"}), "");
}

}  // namespace
}  // namespace airlock::run_output_test
