#include "airlock/model/normalizer.h"

#include <utility>

#include "airlock/core/utf8.h"
#include "airlock/model/lowercase.h"
#include "airlock/model/pretokenizer_unicode.h"

namespace airlock {
namespace {
std::string replace_matches(std::string_view text, const SplitRegex& regex, std::string_view to) {
  std::vector<SplitRegex::Span> spans;
  regex.find(text, spans);
  std::string out;
  std::size_t at = 0;
  for (const SplitRegex::Span& span : spans) {
    out.append(text.substr(at, span.begin - at)).append(to);
    at = span.end;
  }
  return out.append(text.substr(at));
}

std::string to_lower_case(std::string_view text) {
  constexpr char32_t kDottedI = 0x130;
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_step(text).length;
    const char32_t c = utf8_code_point(text.substr(0, length));
    if (c == kDottedI) {
      out += "i\xCC\x87";
    } else {
      append_utf8(lower_case(c), out);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string_view without_white_space(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    const std::size_t length = utf8_step(text).length;
    if (!is_white_space(utf8_code_point(text.substr(0, length)))) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    const std::string_view last = last_character(text);
    if (!is_white_space(utf8_code_point(last))) break;
    text.remove_suffix(last.size());
  }
  return text;
}
}  // namespace

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

Normalizer::Normalizer(const std::vector<NormalizerStep>& steps, const std::string& where) {
  for (const NormalizerStep& spec : steps) {
    Step step{spec, {}};
    if (spec.kind == NormalizerStep::kReplaceMatches)
      step.regex.emplace_back(spec.from, where + ": normalizer");
    steps_.push_back(std::move(step));
  }
}

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  for (const Step& step : steps_) {
    switch (step.spec.kind) {
      case NormalizerStep::kPrepend:
        if (!result.empty()) result.insert(0, step.spec.to);
        break;
      case NormalizerStep::kReplace:
        result = replace_all(result, step.spec.from, step.spec.to);
        break;
      case NormalizerStep::kReplaceMatches:
        result = replace_matches(result, step.regex.front(), step.spec.to);
        break;
      case NormalizerStep::kLowercase:
        result = to_lower_case(result);
        break;
      case NormalizerStep::kStrip:
        result = std::string(without_white_space(result, step.spec.left, step.spec.right));
        break;
    }
  }
  return result;
}

}  // namespace airlock
