#include "airlock/model/pretokenizer.h"

#include <algorithm>
#include <utility>

namespace airlock {
namespace {
// GPT-2's split. Source: Radford et al., encoder.py.
constexpr std::string_view kByteLevelRegex =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  std::size_t at = 0;
  for (std::size_t next = text.find(from); next != std::string_view::npos;
       next = text.find(from, at)) {
    out.append(text.substr(at, next - at)).append(to);
    at = next + from.size();
  }
  return out.append(text.substr(at));
}
}  // namespace

std::string normalize(std::string_view text, const std::vector<NormalizerStep>& steps) {
  std::string result(text);
  for (const NormalizerStep& step : steps) {
    if (step.kind == NormalizerStep::kReplace) {
      result = replace_all(result, step.from, step.to);
    } else if (!result.empty()) {
      result.insert(0, step.to);
    }
  }
  return result;
}

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
  words.scratch.swap(words.words);
  words.words.clear();
  const bool isolated = step.spec.behavior == PreTokenizerStep::kIsolated;
  for (const std::string_view word : words.scratch) {
    step.regex.front().find(word, words.spans);
    // `invert` swaps what matched with what lies between; Isolated keeps both.
    const bool keep_between = isolated || !step.spec.invert;
    const bool keep_matched = isolated || step.spec.invert;
    std::size_t at = 0;
    const auto put = [&](std::size_t begin, std::size_t end) {
      if (end > begin) words.words.push_back(word.substr(begin, end - begin));
    };
    for (const SplitRegex::Span& span : words.spans) {
      if (keep_between) put(at, span.begin);
      if (keep_matched) put(span.begin, span.end);
      at = span.end;
    }
    if (keep_between) put(at, word.size());
  }
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
