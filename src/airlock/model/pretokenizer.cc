#include "airlock/model/pretokenizer.h"

#include <algorithm>
#include <utility>

#include "airlock/model/normalizer.h"

namespace airlock {
namespace {
// GPT-2's split. Source: Radford et al., encoder.py.
constexpr std::string_view kByteLevelRegex =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
}  // namespace

PreTokenizer::PreTokenizer(const std::vector<PreTokenizerStep>& steps, const std::string& where) {
  for (const PreTokenizerStep& spec : steps) {
    Step step{spec, {}};
    if (spec.kind == PreTokenizerStep::kSplit)
      step.regex.push_back(spec.literal ? SplitRegex::literal(spec.pattern)
                                        : SplitRegex(spec.pattern, where + ": pre_tokenizer"));
    if (spec.kind == PreTokenizerStep::kByteLevel) {
      byte_level_ = true;
      if (spec.use_regex) step.regex.emplace_back(kByteLevelRegex, "ByteLevel");
    }
    steps_.push_back(std::move(step));
  }
}

void PreTokenizer::split(std::string_view text, bool at_start, Words& words) const {
  words.owned.clear();
  words.words.assign(1, text);
  if (text.empty()) words.words.clear();
  for (const Step& step : steps_) {
    switch (step.spec.kind) {
      case PreTokenizerStep::kSplit:
        apply_split(step, words);
        break;
      case PreTokenizerStep::kByteLevel:
        apply_byte_level(step, words);
        break;
      case PreTokenizerStep::kMetaspace:
        apply_metaspace(step, at_start, words);
        break;
    }
  }
}

void PreTokenizer::apply_split(const Step& step, Words& words) {
  using Behavior = PreTokenizerStep::Behavior;
  const Behavior behavior = step.spec.behavior;
  words.scratch.swap(words.words);
  words.words.clear();
  for (const std::string_view word : words.scratch) {
    step.regex.front().find(word, words.spans);
    const std::size_t first = words.words.size();
    bool after_match = false;
    // An empty match is a piece too: it keeps its neighbours apart.
    const auto put = [&](std::size_t begin, std::size_t end, bool match) {
      match ^= step.spec.invert;
      const bool joined =
          (behavior == PreTokenizerStep::kContiguous && match == after_match) ||
          (behavior == PreTokenizerStep::kMergedWithPrevious && match && !after_match) ||
          (behavior == PreTokenizerStep::kMergedWithNext && !match && after_match);
      after_match = match;
      if (joined && words.words.size() > first) {
        std::string_view& last = words.words.back();
        last = {last.data(), last.size() + (end - begin)};
      } else if (behavior != PreTokenizerStep::kRemoved || !match) {
        words.words.push_back(word.substr(begin, end - begin));
      }
    };
    std::size_t at = 0;
    for (const SplitRegex::Span& span : words.spans) {
      if (span.begin > at) put(at, span.begin, false);
      put(span.begin, span.end, true);
      at = span.end;
    }
    if (at < word.size()) put(at, word.size(), false);
  }
  std::erase_if(words.words, [](std::string_view word) { return word.empty(); });
}

void PreTokenizer::apply_byte_level(const Step& step, Words& words) {
  if (step.spec.add_prefix_space)
    for (std::string_view& word : words.words)
      if (!word.starts_with(' ')) word = words.owned.emplace_back(word).insert(0, 1, ' ');
  if (!step.regex.empty()) apply_split(step, words);
}

void PreTokenizer::apply_metaspace(const Step& step, bool at_start, Words& words) {
  const std::string& mark = step.spec.replacement;
  words.scratch.swap(words.words);
  words.words.clear();
  bool first = at_start;
  for (const std::string_view word : words.scratch) {
    std::string marked = replace_all(word, " ", mark);
    const bool prepend = step.spec.prepend == PreTokenizerStep::kAlways ||
                         (step.spec.prepend == PreTokenizerStep::kFirst && first);
    first = false;
    if (prepend && !marked.starts_with(mark)) marked.insert(0, mark);
    std::string_view rest = words.owned.emplace_back(std::move(marked));
    while (step.spec.split && !rest.empty()) {
      const std::size_t end = std::min(rest.find(mark, 1), rest.size());
      words.words.push_back(rest.substr(0, end));
      rest.remove_prefix(end);
    }
    if (!rest.empty()) words.words.push_back(rest);
  }
}

}  // namespace airlock
