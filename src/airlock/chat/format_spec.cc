#include "airlock/chat/format_spec.h"

#include <array>
#include <charconv>
#include <cmath>

#include "airlock/chat/strings.h"
#include "airlock/chat/unicode.h"

namespace airlock::chat {
namespace {

/// Groups of three digits (four for bases of a power of two) with `mark` between.
std::string grouped(std::string_view digits, char mark, std::size_t size) {
  const std::size_t whole =
      std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string out;
  for (std::size_t i = 0; i < whole; ++i) {
    if (i != 0 && (whole - i) % size == 0) out += mark;
    out += digits[i];
  }
  return out + std::string(digits.substr(whole));
}

std::string float_digits(double number, const FormatSpec& spec) {
  const char type = spec.type == '\0' ? 'g' : spec.type;
  const bool large = type == 'F' || type == 'E' || type == 'G';
  const double shown = type == '%' ? number * 100 : number;
  if (!std::isfinite(shown)) {
    std::string text = std::isnan(shown) ? "nan" : "inf";
    return large ? upper(text) : text + (type == '%' ? "%" : "");
  }
  const auto precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  const char kind = static_cast<char>(type | 0x20);
  const auto format = type == '%' || kind == 'f' ? std::chars_format::fixed
                      : kind == 'e'              ? std::chars_format::scientific
                                                 : std::chars_format::general;
  std::string buffer(static_cast<std::size_t>(precision) + 400, '\0');
  const int digits = format == std::chars_format::general && precision == 0 ? 1 : precision;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), shown, format, digits);
  buffer.resize(static_cast<std::size_t>(end.ptr - buffer.data()));
  if (type == '%') buffer += '%';
  return large ? upper(buffer) : buffer;
}

std::string whole_digits(std::int64_t number, const FormatSpec& spec) {
  const auto magnitude =
      number < 0 ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number);
  std::array<char, 70> buffer{};
  const int base = spec.type == 'x' || spec.type == 'X' ? 16
                   : spec.type == 'o'                   ? 8
                   : spec.type == 'b'                   ? 2
                                                        : 10;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), magnitude, base);
  std::string digits(buffer.data(), end.ptr);
  return spec.type == 'X' ? upper(digits) : digits;
}

FormatSpec read_spec(std::string_view text) {
  constexpr std::string_view kAligns = "<>=^";
  FormatSpec spec;
  const std::string_view first = Characters{text}.next();
  if (text.size() > first.size() && kAligns.find(text[first.size()]) != std::string_view::npos) {
    spec.fill = first;
    spec.align = text[first.size()];
    text.remove_prefix(first.size() + 1);
  } else if (!text.empty() && kAligns.find(text[0]) != std::string_view::npos) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  const auto skip = [&text](char c) {
    const bool found = text.starts_with(c);
    if (found) text.remove_prefix(1);
    return found;
  };
  if (!text.empty() && (text[0] == '+' || text[0] == '-' || text[0] == ' ')) {
    spec.sign = text[0];
    text.remove_prefix(1);
  }
  spec.alternate = skip('#');
  if (text.starts_with('0') && spec.align == '\0') {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = read_format_number(text);
  spec.comma = skip(',');
  spec.underscore = skip('_');
  if (skip('.')) {
    if (text.empty() || text[0] < '0' || text[0] > '9')
      refuse("a format wants digits after its dot");
    spec.precision = read_format_number(text);
  }
  if (!text.empty()) {
    spec.type = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty()) refuse("a format has something after its type");
  return spec;
}

}  // namespace

std::int64_t read_format_number(std::string_view& text) {
  std::int64_t number = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    number = number * 10 + (text[0] - '0');
    if (number > kMaxFormatWidth) refuse("a width or precision of more than {}", kMaxFormatWidth);
    text.remove_prefix(1);
  }
  return number;
}

void add_padded(TextBuilder& out, std::string_view text, const FormatSpec& spec, char standard) {
  const char align = spec.align == '\0' ? standard : spec.align;
  if (align == '^') {
    const std::int64_t gap = std::max<std::int64_t>(spec.width - count_characters(text), 0);
    const std::int64_t left = gap / 2;
    for (std::int64_t i = 0; i < left; ++i) out.add(spec.fill);
    out.add(text);
    for (std::int64_t i = left; i < gap; ++i) out.add(spec.fill);
    return;
  }
  out.add(padded(out.heap(), text, spec.width, spec.fill, align).text());
}

void add_number(TextBuilder& out, const Value& value, const FormatSpec& spec) {
  const std::string_view kinds = "eEfFgG%";
  const bool as_float = value.is(Kind::kFloat) || kinds.find(spec.type) != std::string_view::npos;
  std::string digits;
  std::string prefix;
  bool negative = false;
  if (as_float && spec.type != '\0') {
    const double number = value.as_real();
    negative = std::signbit(number) && !std::isnan(number);
    digits = float_digits(std::fabs(number), spec);
  } else if (as_float) {
    negative = std::signbit(value.real);
    if (spec.precision < 0) {
      digits = float_repr(std::fabs(value.real));
    } else {
      digits = float_digits(std::fabs(value.real), spec);
      if (digits.find_first_of(".en") == std::string::npos) digits += ".0";
    }
  } else {
    negative = value.as_int() < 0;
    digits = whole_digits(value.as_int(), spec);
    if (spec.alternate && spec.type != 'd' && spec.type != '\0')
      prefix = std::string("0") + spec.type;
  }
  if (spec.comma || spec.underscore)
    digits = grouped(
        digits, spec.comma ? ',' : '_',
        spec.type == 'x' || spec.type == 'X' || spec.type == 'b' || spec.type == 'o' ? 4 : 3);
  if (negative) {
    prefix.insert(prefix.begin(), '-');
  } else if (spec.sign != '-') {
    prefix.insert(prefix.begin(), spec.sign);
  }
  if (spec.align == '=') {
    out.add(prefix);
    FormatSpec rest = spec;
    rest.width -= static_cast<std::int64_t>(prefix.size());
    rest.align = '>';
    add_padded(out, digits, rest, '>');
  } else {
    add_padded(out, prefix + digits, spec, '>');
  }
}

void add_formatted(TextBuilder& out, const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) {
    add_str(out, value);
    return;
  }
  FormatSpec spec = read_spec(spec_text);
  if (value.is(Kind::kString)) {
    if ((spec.type != '\0' && spec.type != 's') || spec.sign != '-' || spec.alternate ||
        spec.comma || (spec.align == '=' && spec.fill != "0"))
      refuse("a format that is not for strings");
    if (spec.align == '=') spec.align = '<';
    std::string_view text = value.text();
    if (spec.precision >= 0) text = text.substr(0, byte_of_character(text, spec.precision));
    add_padded(out, text, spec, '<');
    return;
  }
  constexpr std::string_view kWhole = "dxXobn";
  const std::string_view kFloats = "eEfFgGn%";
  const bool fits = value.is(Kind::kFloat)
                        ? spec.type == '\0' || kFloats.find(spec.type) != std::string_view::npos
                    : value.is_int() ? spec.type == '\0' ||
                                           (kWhole.find(spec.type) != std::string_view::npos &&
                                            spec.precision < 0) ||
                                           kFloats.find(spec.type) != std::string_view::npos
                                     : false;
  if (!fits || (value.is_int() && spec.type == '\0' && spec.precision >= 0))
    refuse("a format that is not for a value of type {}", type_name(value));
  if (spec.type == 'n') spec.type = value.is(Kind::kFloat) ? 'g' : 'd';
  add_number(out, value, spec);
}

}  // namespace airlock::chat
