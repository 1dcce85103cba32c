#include "airlock/chat/strings.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "airlock/chat/unicode.h"
#include "airlock/core/utf8.h"

namespace airlock::chat {
namespace {

bool is_line_end(char32_t c) {
  return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::string_view separator_of(const Value& separator) {
  if (!separator.is(Kind::kString))
    refuse("`split` wants a string, not a value of type {}", type_name(separator));
  if (separator.size == 0) refuse("`split` wants a separator that is not empty");
  return separator.text();
}

bool is_given(const Value* separator) {
  return separator != nullptr && !separator->is(Kind::kNone);
}

void add_part(Heap& heap, std::vector<Value>& parts, std::string_view text) {
  heap.charge(sizeof(Value));
  parts.push_back(view_of(text));
}

/// The text up to the first white space; `from_right`: from the last on.
std::string_view word_of(std::string_view text, bool from_right) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view c = from_right ? last_character(rest) : Characters{rest}.next();
    if (is_space(utf8_code_point(c))) break;
    if (from_right) {
      rest.remove_suffix(c.size());
    } else {
      rest.remove_prefix(c.size());
    }
  }
  return from_right ? text.substr(rest.size()) : text.substr(0, text.size() - rest.size());
}

}  // namespace

std::size_t find_text(std::string_view text, std::string_view wanted) {
  if (wanted.size() > text.size()) return std::string_view::npos;
  const void* const at = ::memmem(text.data(), text.size(), wanted.data(), wanted.size());
  return at == nullptr ? std::string_view::npos
                       : static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

std::size_t find_text_last(Heap& heap, std::string_view text, std::string_view wanted) {
  constexpr std::size_t kShort = 16;
  if (wanted.size() <= kShort || wanted.size() > text.size()) return text.rfind(wanted);
  heap.charge(text.size() + wanted.size());
  const std::string backwards(text.rbegin(), text.rend());
  const std::size_t at = find_text(backwards, std::string(wanted.rbegin(), wanted.rend()));
  return at == std::string_view::npos ? at : text.size() - at - wanted.size();
}

std::string_view strip(std::string_view text, const std::string_view* characters, bool left,
                       bool right) {
  const auto goes = [characters](std::string_view c) {
    return characters == nullptr ? is_space(utf8_code_point(c))
                                 : characters->find(c) != std::string_view::npos;
  };
  while (left && !text.empty()) {
    const std::string_view c = Characters{text}.next();
    if (!goes(c)) break;
    text.remove_prefix(c.size());
  }
  while (right && !text.empty()) {
    const std::string_view c = last_character(text);
    if (!goes(c)) break;
    text.remove_suffix(c.size());
  }
  return text;
}

Value split(Heap& heap, std::string_view text, const Value* separator, std::int64_t limit) {
  heap.step(text.size() / 8);
  std::vector<Value> parts;
  if (!is_given(separator)) {
    for (text = strip_left(text); !text.empty(); --limit) {
      if (limit == 0) {
        add_part(heap, parts, text);
        break;
      }
      const std::string_view word = word_of(text, false);
      add_part(heap, parts, word);
      text = strip_left(text.substr(word.size()));
    }
    return heap.sequence(Kind::kList, std::move(parts));
  }
  const std::string_view by = separator_of(*separator);
  for (; limit != 0; --limit) {
    const std::size_t at = find_text(text, by);
    if (at == std::string_view::npos) break;
    add_part(heap, parts, text.substr(0, at));
    text.remove_prefix(at + by.size());
  }
  add_part(heap, parts, text);
  return heap.sequence(Kind::kList, std::move(parts));
}

Value split_right(Heap& heap, std::string_view text, const Value* separator, std::int64_t limit) {
  heap.step(text.size() / 8);
  std::vector<Value> parts;
  if (!is_given(separator)) {
    for (text = strip_right(text); !text.empty(); --limit) {
      if (limit == 0) {
        add_part(heap, parts, text);
        break;
      }
      const std::string_view word = word_of(text, true);
      add_part(heap, parts, word);
      text = strip_right(text.substr(0, text.size() - word.size()));
    }
  } else {
    const std::string_view by = separator_of(*separator);
    for (; limit != 0; --limit) {
      const std::size_t at = find_text_last(heap, text, by);
      if (at == std::string_view::npos) break;
      add_part(heap, parts, text.substr(at + by.size()));
      text = text.substr(0, at);
    }
    add_part(heap, parts, text);
  }
  std::reverse(parts.begin(), parts.end());
  return heap.sequence(Kind::kList, std::move(parts));
}

std::vector<std::string_view> split_lines(Heap& heap, std::string_view text, bool keep_ends) {
  heap.step(text.size() / 8);
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    Characters walk{text};
    std::size_t length = 0;
    std::size_t end = 0;
    while (!walk.rest.empty()) {
      const std::string_view c = walk.next();
      if (is_line_end(utf8_code_point(c))) {
        end = c.size() + (c == "\r" && walk.rest.starts_with('\n') ? 1 : 0);
        break;
      }
      length += c.size();
    }
    heap.charge(sizeof(Value));
    lines.push_back(text.substr(0, length + (keep_ends ? end : 0)));
    text.remove_prefix(length + end);
  }
  return lines;
}

Value replace(Heap& heap, std::string_view text, std::string_view old, std::string_view with,
              std::int64_t count) {
  TextBuilder out(heap);
  if (old.empty()) {
    // Between all characters, and at both ends.
    for (; count != 0; --count) {
      out.add(with);
      const std::string_view c = Characters{text}.next();
      if (c.empty()) break;
      out.add(c);
      text.remove_prefix(c.size());
    }
    out.add(text);
    return out.value();
  }
  for (; count != 0; --count) {
    const std::size_t at = find_text(text, old);
    if (at == std::string_view::npos) break;
    out.add(text.substr(0, at));
    out.add(with);
    text.remove_prefix(at + old.size());
    heap.step();
  }
  out.add(text);
  return out.value();
}

Value padded(Heap& heap, std::string_view text, std::int64_t width, std::string_view fill,
             char align) {
  const std::int64_t length = count_characters(text);
  const std::int64_t gap = width > length ? width - length : 0;
  // str.center gives the odd one to the left where the width is odd too.
  const std::int64_t left = align == '<' ? 0 : align == '>' ? gap : gap / 2 + (gap & width & 1);
  TextBuilder out(heap);
  const auto add_fill = [&](std::int64_t count) {
    if (fill.size() == 1) {
      out.add(count, fill[0]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) out.add(fill);
    }
  };
  add_fill(left);
  out.add(text);
  add_fill(gap - left);
  return out.value();
}

bool is_all_lower(std::string_view text) {
  bool any = false;
  for (Characters walk{text}; !walk.rest.empty();) {
    const char32_t c = utf8_code_point(walk.next());
    if (is_upper(c) || is_title(c)) return false;
    any = any || is_lower(c);
  }
  return any;
}

bool is_all_upper(std::string_view text) {
  bool any = false;
  for (Characters walk{text}; !walk.rest.empty();) {
    const char32_t c = utf8_code_point(walk.next());
    if (is_lower(c) || is_title(c)) return false;
    any = any || is_upper(c);
  }
  return any;
}

bool is_all_title(std::string_view text) {
  bool any = false;
  bool in_word = false;
  for (Characters walk{text}; !walk.rest.empty();) {
    const char32_t c = utf8_code_point(walk.next());
    const bool begins = is_upper(c) || is_title(c);
    if (begins ? in_word : is_lower(c) && !in_word) return false;
    in_word = begins || is_lower(c);
    any = any || in_word;
  }
  return any;
}

}  // namespace airlock::chat
