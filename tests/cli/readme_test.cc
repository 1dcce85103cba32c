// The sample in README.md is what its command prints.
#include <sstream>

#include <gtest/gtest.h>

#include "tests/cli/cli_fixture.h"
#include "tests/support/paths.h"

namespace airlock::readme_test {
namespace {

struct Sample {
  std::vector<std::string> arguments;  ///< after "airlock"
  std::string output;
};

/// Splits at spaces, but for those in double quotes, as a shell would.
std::vector<std::string> shell_words(const std::string& line) {
  std::vector<std::string> words;
  bool quoted = false, open = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ' ' && !quoted) {
      open = false;
      continue;
    }
    if (!open) words.emplace_back();
    open = true;
    if (c != '"') words.back() += c;
  }
  return words;
}

/// The block that begins with the command, up to its closing fence.
Sample readme_sample() {
  const std::filesystem::path root = testing::source_dir();
  std::istringstream readme(testing::file_text(root / "README.md"));
  const std::string prompt = "$ airlock ";
  Sample sample;
  for (std::string line; std::getline(readme, line);) {
    if (sample.arguments.empty()) {
      if (line.rfind(prompt + "run ", 0) != 0) continue;
      sample.arguments = shell_words(line.substr(prompt.size()));
    } else if (line == "```") {
      break;
    } else {
      sample.output += line + "\n";
    }
  }
  for (std::string& argument : sample.arguments) {
    if (argument == "models/demo") argument = (root / argument).string();
  }
  return sample;
}

class Readme : public testing::CliFixture {
 protected:
  std::string output_of(std::vector<std::string> arguments, const std::vector<std::string>& more) {
    // Another plan replaces the sample's.
    if (std::find(more.begin(), more.end(), "--plan") != more.end()) {
      const auto plan = std::find(arguments.begin(), arguments.end(), "--plan");
      if (plan != arguments.end()) arguments.erase(plan, plan + 2);
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto run = start(arguments);
    EXPECT_EQ(run->wait(), 0) << run->err();
    return run->out();
  }
};

TEST_F(Readme, ShowsWhatItsCommandPrints) {
  const Sample sample = readme_sample();
  ASSERT_FALSE(sample.arguments.empty());
  ASSERT_GT(sample.output.size(), 100U);
  EXPECT_EQ(output_of(sample.arguments, {}), sample.output);
}

// The seed's random numbers are the same everywhere, logits are so up to f32's rounding, which
// differs with the processor. A token changes only if a number falls into the gap that rounding
// moves. No number of this sample falls into the gap of f16, whose rounding is 2^13 times as
// coarse, nor does the order of f32 operations (threads, plans) matter.
TEST_F(Readme, ShowsASampleThatNoProcessorsRoundingChanges) {
  const Sample sample = readme_sample();
  ASSERT_FALSE(sample.arguments.empty());
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{"--threads", "1"},
                                             {"--plan", "flash"},
                                             {"--plan", "runner-attention", "--wire-dtype", "f32"},
                                             {"--plan", "blocks", "--wire-dtype", "f32"},
                                             {"--wire-dtype", "f16"},
                                             {"--plan", "flash", "--wire-dtype", "f16"}}) {
    EXPECT_EQ(output_of(sample.arguments, more), sample.output)
        << fmt::format("{}", fmt::join(more, " "));
  }
}

}  // namespace
}  // namespace airlock::readme_test
