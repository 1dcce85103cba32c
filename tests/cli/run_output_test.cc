// What `airlock run` prints: text up to an end, or JSON lines.
#include <cmath>
#include <cstdio>
#include <cstring>
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

/// The rows of a .npy file of f32 as its header describes them.
struct Npy {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<float> values;
};

Npy read_npy(const std::filesystem::path& path) {
  const std::string bytes = testing::read_file(path);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\0", 8));
  EXPECT_EQ(static_cast<unsigned char>(bytes.at(8)) + 256 * static_cast<unsigned char>(bytes.at(9)),
            128 - 10);
  EXPECT_EQ(bytes.at(127), '\n');
  Npy npy;
  const std::string header = bytes.substr(10, 117);
  EXPECT_EQ(
      std::sscanf(header.c_str(), "{'descr': '<f4', 'fortran_order': False, 'shape': (%ld, %ld), }",
                  &npy.rows, &npy.columns),
      2)
      << header;
  npy.values.resize((bytes.size() - 128) / sizeof(float));
  std::memcpy(npy.values.data(), bytes.data() + 128, npy.values.size() * sizeof(float));
  EXPECT_EQ(npy.values.size(), static_cast<std::size_t>(npy.rows * npy.columns));
  return npy;
}

TEST_F(RunOutput, LogitsFileHoldsWhatEachTokenWasChosenFrom) {
  const std::filesystem::path path = dir() / "logits.npy";
  testing::write_file(path, std::string(1 << 20, 'x'));  // replaced, and made private
  std::filesystem::permissions(path, std::filesystem::perms(0644));
  // A penalty and a temperature change what is chosen, not what is written.
  const auto lines = lines_of({"-n", "5", "--ignore-eos", "--logprobs", "0", "--repeat-penalty",
                               "1.5", "--temp", "2", "--seed", "3", "--logits", path.string()});
  const Npy npy = read_npy(path);
  EXPECT_EQ(npy.rows, 5);
  EXPECT_EQ(npy.columns, find_preset("tiny")->vocab);
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0600));
  ASSERT_EQ(lines.size(), 5U);
  for (std::size_t row = 0; row < 5; ++row) {
    const float* logits = npy.values.data() + static_cast<std::int64_t>(row) * npy.columns;
    double total = 0;
    for (std::int64_t i = 0; i < npy.columns; ++i) {
      total += std::exp(static_cast<double>(logits[i]));
    }
    const double logprob = logits[lines[row]["token"].get<std::size_t>()] - std::log(total);
    EXPECT_NEAR(lines[row]["logprob"].get<double>(), logprob, 1e-6);
  }
}

TEST_F(RunOutput, ALogitsFileThatCannotBeWrittenIsOneError) {
  std::filesystem::create_symlink("elsewhere", dir() / "link");
  for (const auto& [path, says] : std::vector<std::pair<std::string, std::string>>{
           {(dir() / "link").string(), "link: cannot create the file: it is a link"},
           {(dir() / "absent" / "x.npy").string(), "No such file or directory"},
           {dir().string(), "Is a directory"},
           {"/dev/full", "/dev/full: is not a regular file"}}) {
    auto run = start({"run", "-q", "-m", model(), "-p", "Hello", "--logits", path});
    EXPECT_EQ(run->wait(), 1);
    EXPECT_NE(run->err().find(says), std::string::npos) << run->err();
    EXPECT_EQ(run->out(), "");
  }
  EXPECT_FALSE(std::filesystem::exists(dir() / "elsewhere"));
  // Nothing is left of a run that fails before its first token.
  auto run = start({"run", "-q", "-m", model(), "-p", "Hello", "--temp", "-1", "--logits",
                    (dir() / "none.npy").string()});
  EXPECT_EQ(run->wait(), 2);
  EXPECT_FALSE(std::filesystem::exists(dir() / "none.npy"));
}

TEST_F(RunOutput, OfAWireThatOverflowsIsWhatPerplexitySaysOfIt) {
  // The same model with an embedding past what f16 holds.
  const std::filesystem::path path = std::filesystem::path(model()) / "model.safetensors";
  std::string bytes = testing::read_file(path);
  const std::string name = "model.embed_tokens.weight";
  const auto header_bytes = static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) +
                            256 * static_cast<std::size_t>(static_cast<unsigned char>(bytes[1]));
  const Json header = Json::parse(bytes.substr(8, header_bytes));
  const std::size_t begin = 8 + header_bytes + header[name]["data_offsets"][0].get<std::size_t>();
  const std::size_t end = 8 + header_bytes + header[name]["data_offsets"][1].get<std::size_t>();
  for (std::size_t i = begin + 1; i < end; i += 2) {
    bytes[i] = static_cast<char>((bytes[i] & 0x80) | 0x48);  // bf16 of some 2^17
  }
  testing::write_file(path, bytes);
  testing::write_file(dir() / "text", "Hello, hello.");
  const std::string says = "positions are not finite: numbers past 65504 overflow an f16 wire";
  const std::vector<std::string> wire = {"--plan", "baseline", "--wire-dtype", "f16"};
  std::vector<std::string> arguments = {"run", "-q", "-m", model(), "-p", "Hello"};
  arguments.insert(arguments.end(), wire.begin(), wire.end());
  for (const char* temperature : {"0", "1"}) {
    arguments.insert(arguments.end(), {"--temp", temperature});
    auto run = start(arguments);
    EXPECT_EQ(run->wait(), 1) << run->err();
    EXPECT_NE(run->err().find(says), std::string::npos) << run->err();
    arguments.resize(arguments.size() - 2);
  }
  arguments = {"perplexity", "-m", model(), "--text", (dir() / "text").string()};
  arguments.insert(arguments.end(), wire.begin(), wire.end());
  auto perplexity = start(arguments);
  EXPECT_EQ(perplexity->wait(), 1) << perplexity->err();  // nothing could be scored
  EXPECT_NE(perplexity->err().find(says), std::string::npos) << perplexity->err();
}

TEST_F(RunOutput, OfNoTokensIsThePromptAlone) {
  const auto lines = lines_of({"-n", "0", "--print-ids", "--logprobs", "2"});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1]["generated_ids"], Json::array());
  EXPECT_EQ(output_of({"-n", "0"}), "");
}

}  // namespace
}  // namespace airlock::run_output_test
