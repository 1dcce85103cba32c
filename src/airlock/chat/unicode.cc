#include "airlock/chat/unicode.h"

#include <algorithm>
#include <iterator>

#include "airlock/core/utf8.h"
#include "airlock/model/pretokenizer_unicode.h"

namespace airlock::chat {
namespace {

struct CodeRange {
  char32_t first, last, stride;
};
struct CaseRange {
  char32_t first, last, stride;
  std::int32_t delta;
};
struct LongCase {
  char32_t from, to[3];  // ends with 0 where shorter
};
#include "airlock/chat/unicode_tables.inc"

/// The row of a sorted table that holds `c`, or null.
template <typename Row, std::size_t N>
const Row* row_of(const Row (&table)[N], char32_t c) noexcept {
  const Row* row = std::upper_bound(std::begin(table), std::end(table), c,
                                    [](char32_t code, const Row& r) { return code < r.first; });
  if (row == std::begin(table)) return nullptr;
  --row;
  return c <= row->last && (c - row->first) % row->stride == 0 ? row : nullptr;
}

template <std::size_t N>
bool add_long(const LongCase (&table)[N], char32_t c, std::string& out) {
  const LongCase* row =
      std::lower_bound(std::begin(table), std::end(table), c,
                       [](const LongCase& r, char32_t code) { return r.from < code; });
  if (row == std::end(table) || row->from != c) return false;
  for (const char32_t to : row->to)
    if (to != 0) append_utf8(to, out);
  return true;
}

char32_t moved(const CaseRange* row, char32_t c) {
  return row == nullptr ? c : static_cast<char32_t>(static_cast<std::int64_t>(c) + row->delta);
}

void add_upper(char32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c));
  } else if (!add_long(kUpperLong, c, out)) {
    append_utf8(moved(row_of(kUpper, c), c), out);
  }
}

void add_title(char32_t c, std::string& out) {
  if (add_long(kTitleLong, c, out)) return;
  // Rows of kTitle say where the title case is not the upper case.
  if (const CaseRange* row = row_of(kTitle, c)) {
    append_utf8(moved(row, c), out);
  } else {
    add_upper(c, out);
  }
}

bool is_cased(char32_t c) {
  return is_lower(c) || is_upper(c) || is_title(c);
}

/// Whether a capital sigma at `at` ends a word: a letter before it, none after.
bool is_final_sigma(std::string_view text, std::size_t at) {
  bool before = false;
  for (std::string_view left = text.substr(0, at); !left.empty();) {
    const std::string_view character = last_character(left);
    const char32_t c = utf8_code_point(character);
    before = is_cased(c);
    if (row_of(kCaseIgnorable, c) == nullptr) break;
    before = false;
    left.remove_suffix(character.size());
  }
  if (!before) return false;
  for (Characters walk{text.substr(at + 2)}; !walk.rest.empty();) {
    const char32_t c = utf8_code_point(walk.next());
    if (row_of(kCaseIgnorable, c) == nullptr) return !is_cased(c);
  }
  return true;
}

/// The lower case of the character that begins at `at`.
void add_lower(std::string_view text, std::size_t at, char32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
  } else if (c == 0x3A3) {
    append_utf8(is_final_sigma(text, at) ? 0x3C2 : 0x3C3, out);
  } else if (!add_long(kLowerLong, c, out)) {
    append_utf8(moved(row_of(kLower, c), c), out);
  }
}

template <typename Each>
std::string map_characters(std::string_view text, Each each) {
  std::string out;
  out.reserve(text.size());
  Characters walk{text};
  for (std::size_t at = 0; !walk.rest.empty(); at = text.size() - walk.rest.size())
    each(at, utf8_code_point(walk.next()), out);
  return out;
}

}  // namespace

std::int64_t count_characters(std::string_view text) noexcept {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

std::size_t byte_of_character(std::string_view text, std::int64_t index) noexcept {
  Characters walk{text};
  while (index-- > 0 && !walk.rest.empty()) walk.next();
  return text.size() - walk.rest.size();
}

bool is_space(char32_t c) noexcept {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}
bool is_printable(char32_t c) noexcept {
  return row_of(kPrintable, c) != nullptr;
}
bool is_alpha(char32_t c) noexcept {
  return row_of(kAlpha, c) != nullptr;
}
bool is_decimal(char32_t c) noexcept {
  return row_of(kDecimal, c) != nullptr;
}
bool is_digit(char32_t c) noexcept {
  return row_of(kDigit, c) != nullptr;
}
bool is_numeric(char32_t c) noexcept {
  return row_of(kNumeric, c) != nullptr;
}
bool is_lower(char32_t c) noexcept {
  return row_of(kLowercase, c) != nullptr;
}
bool is_upper(char32_t c) noexcept {
  return row_of(kUppercase, c) != nullptr;
}
bool is_title(char32_t c) noexcept {
  return row_of(kTitlecase, c) != nullptr;
}

std::string lower(std::string_view text) {
  return map_characters(
      text, [&](std::size_t at, char32_t c, std::string& out) { add_lower(text, at, c, out); });
}

std::string upper(std::string_view text) {
  return map_characters(text, [](std::size_t, char32_t c, std::string& out) { add_upper(c, out); });
}

std::string title(std::string_view text) {
  bool in_word = false;
  return map_characters(text, [&](std::size_t at, char32_t c, std::string& out) {
    if (in_word) {
      add_lower(text, at, c, out);
    } else {
      add_title(c, out);
    }
    in_word = is_cased(c);
  });
}

std::string capitalize(std::string_view text) {
  return map_characters(text, [&](std::size_t at, char32_t c, std::string& out) {
    if (at == 0) {
      add_title(c, out);
    } else {
      add_lower(text, at, c, out);
    }
  });
}

std::string swapcase(std::string_view text) {
  return map_characters(text, [&](std::size_t at, char32_t c, std::string& out) {
    if (is_upper(c)) {
      add_lower(text, at, c, out);
    } else if (is_lower(c)) {
      add_upper(c, out);
    } else {
      append_utf8(c, out);
    }
  });
}

std::string_view strip_left(std::string_view text) noexcept {
  for (Characters walk{text}; !walk.rest.empty(); text = walk.rest)
    if (!is_space(utf8_code_point(walk.next()))) break;
  return text;
}

std::string_view strip_right(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::string_view character = last_character(text);
    if (!is_space(utf8_code_point(character))) break;
    text.remove_suffix(character.size());
  }
  return text;
}

}  // namespace airlock::chat
