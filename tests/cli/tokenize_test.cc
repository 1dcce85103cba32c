// airlock tokenize and detokenize against what the `tokenizers` and `sentencepiece` packages say.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"
#include "tests/model/tokenizer_goldens.h"

namespace airlock::tokenize_test {
namespace {

class Tokenize : public testing::CliFixture {
 protected:
  void SetUp() override {}  // no model: a tokenizer is enough

  std::string output_of(const std::vector<std::string>& arguments) {
    auto process = start(arguments);
    EXPECT_EQ(process->wait(), 0) << process->err();
    EXPECT_EQ(process->err(), "");
    return process->out();
  }
  std::string file_of(const std::string& content) {
    const auto path = dir() / "text";
    testing::write_file(path, content);
    return path.string();
  }
  static std::string folder(const std::string& name) { return (goldens::folder() / name).string(); }
};

/// The first group of a goldens file is of the tokenizer as it lies there.
TEST_F(Tokenize, GivesTheIdsAndTextsOfTheReferencePackages) {
  const std::vector<std::pair<std::string, std::string>> tokenizers = {
      {"llama3", "llama3.goldens.jsonl"},
      {"llama2", "llama2.goldens.jsonl"},
      {"plain", "sentencepiece_plain.goldens.jsonl"}};
  for (const auto& [name, file] : tokenizers) {
    SCOPED_TRACE(name);
    const goldens::Group group = goldens::load(file).front();
    ASSERT_EQ(group.patch, nlohmann::json::object());
    ASSERT_GT(group.texts.size(), 60U);
    for (std::size_t i = 1; i < group.texts.size(); i += group.texts.size() / 6) {
      const goldens::Text& text = group.texts[i];
      SCOPED_TRACE(::testing::PrintToString(text.raw));
      const std::string ids = fmt::format("{}\n", fmt::join(text.ids, " "));
      EXPECT_EQ(output_of({"tokenize", "-m", folder(name), "-f", file_of(text.raw), "--no-bos"}),
                ids);
      EXPECT_EQ(output_of({"detokenize", "-m", folder(name), "-f", file_of(ids)}), text.decoded);
    }
    for (std::size_t i = 0; i < group.decodings.size(); i += group.decodings.size() / 3 + 1) {
      const goldens::Decoding& decoding = group.decodings[i];
      std::vector<std::string> arguments = {"detokenize", "-m", folder(name)};
      for (const std::int32_t id : decoding.ids) arguments.push_back(std::to_string(id));
      if (decoding.ids.empty()) continue;
      EXPECT_EQ(output_of(arguments), decoding.skipped);
      if (name == "plain") continue;  // sentencepiece has no way to keep special tokens
      arguments.emplace_back("--special");
      EXPECT_EQ(output_of(arguments), decoding.kept);
    }
  }
}

TEST_F(Tokenize, PutsBosInFrontUnlessToldOtherwise) {
  const auto tokenizer = Tokenizer::load(folder("llama3"));
  const std::string bos = std::to_string(tokenizer->find_token("<|begin_of_text|>").value());
  const std::string with = output_of({"tokenize", "-m", folder("llama3"), "-p", "the link"});
  EXPECT_EQ(
      with,
      bos + " " + output_of({"tokenize", "-m", folder("llama3"), "-p", "the link", "--no-bos"}));
  EXPECT_EQ(output_of({"tokenize", "-m", folder("llama3"), "-p", ""}), bos + "\n");
}

TEST_F(Tokenize, SaysThatATextBeginsWithBosItself) {
  const std::string text = "<|begin_of_text|>the link";
  auto process = start({"tokenize", "-m", folder("llama3"), "-p", text});
  EXPECT_EQ(process->wait(), 0);
  EXPECT_EQ(process->err(),
            "the text begins with <|begin_of_text|>, and one more was added: --no-bos adds none\n");
  EXPECT_EQ(output_of({"tokenize", "-m", folder("llama3"), "-p", text, "--no-bos"}),
            output_of({"tokenize", "-m", folder("llama3"), "-p", "the link"}));
}

TEST_F(Tokenize, PrintsNothingForAnIdInAHole) {
  auto json = nlohmann::json::parse(goldens::read(goldens::folder() / "llama3/tokenizer.json"));
  json["added_tokens"].push_back({{"id", 1600}, {"content", "<late>"}});
  testing::write_file(dir() / "tokenizer.json", json.dump());
  EXPECT_EQ(output_of({"detokenize", "-m", dir().string(), "0", "1555", "1600"}), "!<late>");
}

TEST_F(Tokenize, AsJsonNamesEachToken) {
  const auto tokenizer = Tokenizer::load(folder("llama3"));
  const auto json = nlohmann::json::parse(
      output_of({"tokenize", "-m", folder("llama3"), "-p", "the 日 link", "--format", "json"}));
  const auto ids = tokenizer->encode("the 日 link", true);
  ASSERT_EQ(json.size(), ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(json[i]["id"], ids[i]);
    EXPECT_EQ(json[i]["token"], tokenizer->token_text(ids[i]));
    EXPECT_EQ(json[i].size(), 2U);
  }
}

TEST_F(Tokenize, ReadsADashAsStandardInput) {
  // The fixture's standard input is empty.
  EXPECT_EQ(output_of({"tokenize", "-m", folder("llama3"), "-f", "-", "--no-bos"}), "\n");
  EXPECT_EQ(output_of({"detokenize", "-m", folder("llama3"), "-f", "-"}), "");
}

/// A folder with a tokenizer, and a chat template of `text`.
class TokenizeChat : public Tokenize {
 protected:
  void SetUp() override {
    std::filesystem::copy(folder("llama3"), dir() / "chat",
                          std::filesystem::copy_options::recursive);
    testing::write_file(dir() / "chat" / "chat_template.jinja",
                        "{{ '<|begin_of_text|>' }}{% for m in messages %}[{{ m.role }}] "
                        "{{ m.content }}<|eot_id|>{% endfor %}"
                        "{% if tools %}{{ tools|tojson }}{% endif %}"
                        "{% if add_generation_prompt %}[assistant]{% endif %}");
    testing::write_file(dir() / "messages.json", R"([{"role": "user", "content": "the 日 link"}])");
    testing::write_file(dir() / "tools.json", R"([{"name": "f", "a": 1}])");
  }
  std::string chat(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"tokenize", "-m", (dir() / "chat").string(), "--messages",
                                          (dir() / "messages.json").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return output_of(arguments);
  }
};

TEST_F(TokenizeChat, PrintsTheTextThatTheTemplateMakes) {
  EXPECT_EQ(chat({"--text"}), "<|begin_of_text|>[user] the 日 link<|eot_id|>[assistant]");
  EXPECT_EQ(chat({"--text", "--no-generation-prompt", "--tools", (dir() / "tools.json").string()}),
            R"(<|begin_of_text|>[user] the 日 link<|eot_id|>[{"name": "f", "a": 1}])");
}

TEST_F(TokenizeChat, KnowsSpecialTokensInTheTextAndAddsNoSecondBos) {
  const auto tokenizer = Tokenizer::load(folder("llama3"));
  const auto ids =
      tokenizer->encode("<|begin_of_text|>[user] the 日 link<|eot_id|>[assistant]", false);
  EXPECT_EQ(chat({}), fmt::format("{}\n", fmt::join(ids, " ")));
  const auto bos = tokenizer->find_token("<|begin_of_text|>").value();
  EXPECT_EQ(ids.front(), bos);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), bos), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer->find_token("<|eot_id|>").value()), 1);
  const auto json = nlohmann::json::parse(chat({"--format", "json"}));
  ASSERT_EQ(json.size(), ids.size());
  EXPECT_EQ(json[0]["token"], "<|begin_of_text|>");
}

TEST_F(TokenizeChat, RefusesWhatIsNoConversation) {
  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    std::string message;
  };
  const std::string m = (dir() / "chat").string();
  const std::string messages = (dir() / "messages.json").string();
  for (const Case& c : {
           Case{{"-m", folder("llama3"), "--messages", messages}, 1, "no chat template"},
           Case{{"-m", m, "--messages", (dir() / "missing").string()}, 1, "missing"},
           Case{{"-m", m, "--messages", file_of("{}")}, 2, "/text: expected an array"},
           Case{{"-m", m, "--messages", messages, "--tools", file_of("[1]")}, 2, "/text: expected"},
           Case{{"-m", m, "--messages", messages, "-p", "x"}, 2, "excludes"},
           Case{{"-m", m, "-p", "x", "--text"}, 2, "--text requires --messages"},
           Case{{"-m", m, "--messages", messages, "--no-bos"}, 2, "excludes"},
       }) {
    std::vector<std::string> arguments = {"tokenize"};
    arguments.insert(arguments.end(), c.arguments.begin(), c.arguments.end());
    auto process = start(arguments);
    EXPECT_EQ(process->wait(), c.exit_code) << process->err();
    EXPECT_NE(process->err().find(c.message), std::string::npos) << process->err();
    EXPECT_EQ(process->out(), "");
  }
}

TEST_F(TokenizeChat, ErrorsBeginWithTheFileTheyAreOf) {
  const auto error_of = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"tokenize", "-m", (dir() / "chat").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto process = start(arguments);
    EXPECT_EQ(process->wait(), 2);
    return process->err();
  };
  const std::string good = (dir() / "messages.json").string();
  const std::string bad = (dir() / "text").string();
  file_of("[x");
  EXPECT_EQ(error_of({"--messages", bad}), "airlock: " + bad + ": not JSON at byte 2\n");
  EXPECT_EQ(error_of({"--messages", good, "--tools", bad}),
            "airlock: " + bad + ": not JSON at byte 2\n");
  EXPECT_EQ(error_of({"--messages", "-"}),  // the fixture's standard input is empty
            "airlock: standard input: expected an array of objects\n");
  const auto jinja = dir() / "chat" / "chat_template.jinja";
  testing::write_file(jinja, "{{ raise_exception('roles must alternate') }}");
  EXPECT_EQ(error_of({"--messages", good}),
            "airlock: " + jinja.string() + ": roles must alternate\n");
}

/// Just past the limit, where one without an end (/dev/zero) would be refused too.
TEST_F(TokenizeChat, RefusesATextPastTheLimitByItsFile) {
  const std::string m = (dir() / "chat").string();
  const std::string good = (dir() / "messages.json").string();
  const std::string large = file_of("");
  std::filesystem::resize_file(large, (64 << 20) + 1);
  synth("model", 0);
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"tokenize", "-m", m, "-f", large},
           {"detokenize", "-m", m, "-f", large},
           {"tokenize", "-m", m, "--messages", large},
           {"tokenize", "-m", m, "--messages", good, "--tools", large},
           {"perplexity", "-m", model(), "--text", large},
           {"run", "-m", model(), "-f", large},
       }) {
    auto process = start(arguments);
    EXPECT_EQ(process->wait(), 2);
    EXPECT_EQ(process->err(), "airlock: " + large +
                                  ": has at least 67108865 bytes, expected at most "
                                  "67108864 (64 MiB)\n");
    EXPECT_EQ(process->out(), "");
  }
}

TEST_F(Tokenize, RefusesBadInputWithOneClearError) {
  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    std::string message;
  };
  const std::string m = folder("llama3");
  for (const Case& c : {
           Case{{"tokenize", "-m", m}, 2, "no text"},
           Case{{"tokenize", "-m", m, "-p", "x", "-f", "y"}, 2, "excludes"},
           Case{{"tokenize", "-m", m, "-p", "x", "--format", "yaml"}, 2, "yaml"},
           Case{{"tokenize", "-m", dir().string(), "-p", "x"}, 1, "neither tokenizer.json nor"},
           Case{{"tokenize", "-m", m, "-f", (dir() / "missing").string()}, 1, "missing"},
           Case{{"tokenize", "-m", m, "-f", dir().string()}, 1, "directory"},
           Case{{"detokenize", "-m", m}, 2, "no token ids"},
           Case{{"detokenize", "-m", m, "5", "x7"}, 2, "`x7` is not a token id"},
           Case{{"detokenize", "-m", m, "5.5"}, 2, "`5.5` is not a token id"},
           Case{{"detokenize", "-m", m, "1511"}, 2, "no token 1511: its ids are below 1511"},
           Case{{"detokenize", "-m", m, "99999999999999999999"}, 2, "below 1511"},
           Case{{"detokenize", "-m", m, "-f", file_of("4 -1")}, 2, "no token -1"},
       }) {
    auto process = start(c.arguments);
    EXPECT_EQ(process->wait(), c.exit_code) << process->err();
    EXPECT_NE(process->err().find(c.message), std::string::npos) << process->err();
    EXPECT_EQ(process->out(), "");
  }
}

}  // namespace
}  // namespace airlock::tokenize_test
