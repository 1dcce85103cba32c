#include "airlock/model/tokenizer_added.h"

#include <algorithm>
#include <utility>

#include "airlock/core/utf8.h"
#include "airlock/model/pretokenizer_unicode.h"

namespace airlock {
namespace {
// `\w` of Rust's regex crate (Unicode technical standard 18, annex C): letters, marks, digits,
// letter numbers, circled letters, connector punctuation, joiners.
constexpr std::string_view kWordCharacter =
    "[\\p{L}\\p{M}\\p{Nd}_\\x{203f}\\x{2040}\\x{2054}\\x{fe33}\\x{fe34}\\x{fe4d}-\\x{fe4f}\\x{ff3f}"
    "\\x{200c}\\x{200d}\\x{16ee}-\\x{16f0}\\x{2160}-\\x{2182}\\x{2185}-\\x{2188}\\x{24b6}-\\x{24e9}"
    "\\x{3007}\\x{3021}-\\x{3029}\\x{3038}-\\x{303a}\\x{a6e6}-\\x{a6ef}\\x{10140}-\\x{10174}"
    "\\x{10341}\\x{1034a}\\x{103d1}-\\x{103d5}\\x{12400}-\\x{1246e}\\x{1f130}-\\x{1f149}"
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}]";

bool is_word(std::string_view character) {
  static const SplitRegex kWord(kWordCharacter, "single_word");
  std::vector<SplitRegex::Span> spans;
  kWord.find(character, spans);
  return !spans.empty();
}
}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens,
                         const std::vector<std::string>& patterns)
    : tokens_(tokens), nodes_(1) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    std::int32_t at = 0;
    for (const char byte : patterns[i]) {
      std::int32_t next = child_of(at, byte);
      if (next < 0) {
        next = static_cast<std::int32_t>(nodes_.size());
        nodes_.push_back({-1, nodes_[static_cast<std::size_t>(at)].child, -1, byte});
        nodes_[static_cast<std::size_t>(at)].child = next;
      }
      at = next;
    }
    std::int32_t& token = nodes_[static_cast<std::size_t>(at)].token;
    if (at != 0 && token < 0) token = static_cast<std::int32_t>(i);
    if (at != 0) starts_[static_cast<unsigned char>(patterns[i].front())] = true;
  }
}

std::int32_t AddedTokens::child_of(std::int32_t node, char byte) const noexcept {
  std::int32_t child = nodes_[static_cast<std::size_t>(node)].child;
  while (child >= 0 && nodes_[static_cast<std::size_t>(child)].byte != byte)
    child = nodes_[static_cast<std::size_t>(child)].sibling;
  return child;
}

std::pair<std::int32_t, std::size_t> AddedTokens::match(std::string_view text) const noexcept {
  std::pair<std::int32_t, std::size_t> best{-1, 0};
  if (!starts_[static_cast<unsigned char>(text.front())]) return best;
  std::int32_t at = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    at = child_of(at, text[i]);
    if (at < 0) break;
    const std::int32_t token = nodes_[static_cast<std::size_t>(at)].token;
    if (token >= 0) best = {token, i + 1};
  }
  return best;
}

bool AddedTokens::is_single_word(std::string_view before, std::string_view after) const {
  if (!before.empty() && is_word(last_character(before))) return false;
  return after.empty() || !is_word(after.substr(0, utf8_step(after).length));
}

void AddedTokens::split(std::string_view text, std::vector<Piece>& pieces) const {
  pieces.clear();
  std::size_t done = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto [index, length] = match(text.substr(at));
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(index)];
    std::size_t begin = at;
    std::size_t end = at + length;
    at = end;
    if (token.single_word && !is_single_word(text.substr(0, begin), text.substr(end))) continue;
    while (token.lstrip && begin > done) {
      const std::string_view last = last_character(text.substr(done, begin - done));
      if (!is_white_space(utf8_code_point(last))) break;
      begin -= last.size();
    }
    while (token.rstrip && end < text.size()) {
      const std::size_t next = utf8_step(text.substr(end)).length;
      if (!is_white_space(utf8_code_point(text.substr(end, next)))) break;
      end += next;
    }
    // White space that an earlier token's rstrip took is not there for this one.
    begin = std::max(begin, done);
    if (begin > done) pieces.push_back({text.substr(done, begin - done), -1});
    pieces.push_back({text.substr(begin, std::max(end, begin) - begin), token.id});
    done = std::max(end, done);
  }
  if (done < text.size()) pieces.push_back({text.substr(done), -1});
}

}  // namespace airlock
