#include "airlock/model/pretokenizer.h"

#include <gtest/gtest.h>

namespace airlock::pretokenizer_test {
namespace {
using Strings = std::vector<std::string>;

Strings split(const std::vector<PreTokenizerStep>& steps, const std::string& text,
              bool at_start = true) {
  const PreTokenizer pre_tokenizer(steps, "test");
  PreTokenizer::Words words;
  pre_tokenizer.split(text, at_start, words);
  return {words.words.begin(), words.words.end()};
}

PreTokenizerStep regex(const std::string& pattern, PreTokenizerStep::Behavior behavior,
                       bool invert) {
  PreTokenizerStep step;
  step.pattern = pattern;
  step.behavior = behavior;
  step.invert = invert;
  return step;
}

PreTokenizerStep byte_level(bool prefix, bool use_regex) {
  PreTokenizerStep step;
  step.kind = PreTokenizerStep::kByteLevel;
  step.add_prefix_space = prefix;
  step.use_regex = use_regex;
  return step;
}

PreTokenizerStep metaspace(PreTokenizerStep::Prepend prepend, bool cut) {
  PreTokenizerStep step;
  step.kind = PreTokenizerStep::kMetaspace;
  step.replacement = "▁";
  step.prepend = prepend;
  step.split = cut;
  return step;
}

TEST(PreTokenizer, SplitKeepsOrDropsWhatMatches) {
  using Step = PreTokenizerStep;
  EXPECT_EQ(split({regex("-", Step::kIsolated, false)}, "a-b--"),
            (Strings{"a", "-", "b", "-", "-"}));
  EXPECT_EQ(split({regex("-", Step::kRemoved, false)}, "a-b--"), (Strings{"a", "b"}));
  EXPECT_EQ(split({regex("-", Step::kRemoved, true)}, "a-b--"), (Strings{"-", "-", "-"}));
  EXPECT_EQ(split({regex("-", Step::kIsolated, true)}, "a-b"), (Strings{"a", "-", "b"}));
}

TEST(PreTokenizer, ByteLevelSplitsAsGpt2Does) {
  EXPECT_EQ(split({byte_level(false, true)}, "I've 12  dogs!\n"),
            (Strings{"I", "'ve", " 12", " ", " dogs", "!", "\n"}));
  EXPECT_EQ(split({byte_level(true, false)}, "a b"), (Strings{" a b"}));
  EXPECT_EQ(split({byte_level(true, false)}, " a"), (Strings{" a"}));
}

TEST(PreTokenizer, MetaspaceMarksSpacesAndTheStart) {
  using Step = PreTokenizerStep;
  EXPECT_EQ(split({metaspace(Step::kAlways, true)}, "a  b", false), (Strings{"▁a", "▁", "▁b"}));
  EXPECT_EQ(split({metaspace(Step::kFirst, false)}, "a b"), (Strings{"▁a▁b"}));
  EXPECT_EQ(split({metaspace(Step::kFirst, false)}, "a b", false), (Strings{"a▁b"}));
  EXPECT_EQ(split({metaspace(Step::kFirst, false)}, " a"), (Strings{"▁a"}));
  EXPECT_EQ(split({metaspace(Step::kNever, false)}, "a"), (Strings{"a"}));
}

TEST(PreTokenizer, NothingHasNoWords) {
  EXPECT_EQ(split({}, ""), Strings{});
  EXPECT_EQ(split({metaspace(PreTokenizerStep::kAlways, true)}, ""), Strings{});
  EXPECT_EQ(split({byte_level(true, true)}, ""), Strings{});
}

TEST(PreTokenizer, SplitMergesMatchesAsItIsTold) {
  using Step = PreTokenizerStep;
  EXPECT_EQ(split({regex("-", Step::kContiguous, false)}, "a-b--"), (Strings{"a", "-", "b", "--"}));
  EXPECT_EQ(split({regex("-", Step::kMergedWithPrevious, false)}, "-a-b--"),
            (Strings{"-", "a-", "b-", "-"}));
  EXPECT_EQ(split({regex("-", Step::kMergedWithNext, false)}, "-a-b--"),
            (Strings{"-a", "-b", "-", "-"}));
}

TEST(PreTokenizer, EmptyMatchesCut) {
  using Step = PreTokenizerStep;
  EXPECT_EQ(split({regex("^", Step::kIsolated, false)}, "a\nb\n"), (Strings{"a\n", "b\n"}));
  EXPECT_EQ(split({regex("$", Step::kRemoved, false)}, "a\nb\n"), (Strings{"a", "\nb", "\n"}));
  EXPECT_EQ(split({regex("(?=b)", Step::kIsolated, false)}, "abab"), (Strings{"a", "ba", "b"}));
}

}  // namespace
}  // namespace airlock::pretokenizer_test
