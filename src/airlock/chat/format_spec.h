// What both of Python's ways to format know of one value: width, sign, precision. Inside the chat
// room only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "airlock/chat/value.h"

namespace airlock::chat {

/// Widths and precisions beyond this are refused: nobody means them.
inline constexpr std::int64_t kMaxFormatWidth = 100'000;

struct FormatSpec {
  std::string_view fill = " ";
  char align = '\0';
  char sign = '-';
  bool alternate = false, comma = false, underscore = false;
  std::int64_t width = 0;
  std::int64_t precision = -1;
  char type = '\0';
};

/// The digits at the front of `text`, passed. Throws Error(kInvalidArgument) past kMaxFormatWidth.
std::int64_t read_format_number(std::string_view& text);
/// `text` in its width; `standard` is the alignment where the spec has none.
void add_padded(TextBuilder& out, std::string_view text, const FormatSpec& spec, char standard);
/// An int, bool or float by a spec whose type fits.
void add_number(TextBuilder& out, const Value& value, const FormatSpec& spec);
/// Python's format(value, spec_text).
void add_formatted(TextBuilder& out, const Value& value, std::string_view spec_text);

}  // namespace airlock::chat
