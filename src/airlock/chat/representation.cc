#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "airlock/chat/evaluator.h"
#include "airlock/chat/unicode.h"
#include "airlock/chat/value.h"
#include "airlock/core/utf8.h"

namespace airlock::chat {
namespace {

void add_string_repr(TextBuilder& out, std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  const char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string repr(1, quote);
  for (Characters walk{text}; !walk.rest.empty();) {
    const std::string_view character = walk.next();
    const char32_t c = utf8_code_point(character);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      repr += '\\';
      repr += static_cast<char>(c);
    } else if (c == '\n') {
      repr += "\\n";
    } else if (c == '\r') {
      repr += "\\r";
    } else if (c == '\t') {
      repr += "\\t";
    } else if (is_printable(c)) {
      repr += character;
    } else if (c < 0x100) {
      repr += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else if (c < 0x10000) {
      repr += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      repr += fmt::format("\\U{:08x}", static_cast<unsigned>(c));
    }
    if (repr.size() > 4096) {
      out.add(repr);
      repr.clear();
    }
  }
  repr += quote;
  out.add(repr);
}

void add_items(TextBuilder& out, const std::vector<Value>& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out.add(", ");
    add_repr(out, items[i]);
  }
}

void add_dict(TextBuilder& out, const Dict& dict) {
  out.add("{");
  for (std::size_t i = 0; i < dict.entries.size(); ++i) {
    if (i != 0) out.add(", ");
    add_repr(out, dict.entries[i].first);
    out.add(": ");
    add_repr(out, dict.entries[i].second);
  }
  out.add("}");
}

void add_view(TextBuilder& out, const View& view) {
  constexpr std::array<std::string_view, 3> kNames = {"dict_keys([", "dict_values([",
                                                      "dict_items(["};
  out.add(kNames[view.what]);
  for (std::size_t i = 0; i < view.dict->entries.size(); ++i) {
    if (i != 0) out.add(", ");
    add_repr(out, view_item(out.heap(), view, i));
  }
  out.add("])");
}

}  // namespace

std::string float_repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                                 std::chars_format::scientific);
  std::string_view shortest(buffer.data(), static_cast<std::size_t>(end.ptr - buffer.data()));
  std::string out;
  if (shortest.front() == '-') {
    out = "-";
    shortest.remove_prefix(1);
  }
  const std::size_t e = shortest.find('e');
  const int exponent = std::atoi(std::string(shortest.substr(e + 1)).c_str());
  std::string digits(1, shortest[0]);
  if (e > 2) digits += shortest.substr(2, e - 2);
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out.append(1, '.').append(digits, 1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return out + digits + std::string(static_cast<std::size_t>(exponent + 1 - count), '0') + ".0";
  const auto whole = static_cast<std::size_t>(exponent + 1);
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

void add_str(TextBuilder& out, const Value& value) {
  if (value.is(Kind::kString)) {
    out.add(value.text());
  } else if (!value.is(Kind::kUndefined)) {
    add_repr(out, value);
  }
}

void add_repr(TextBuilder& out, const Value& value) {
  const Heap::Deeper deeper(out.heap());
  out.heap().step();
  switch (value.kind) {
    case Kind::kUndefined:
      out.add("Undefined");
      return;
    case Kind::kNone:
      out.add("None");
      return;
    case Kind::kBool:
      out.add(value.truth ? "True" : "False");
      return;
    case Kind::kInt:
      out.add(fmt::format("{}", value.integer));
      return;
    case Kind::kFloat:
      out.add(float_repr(value.real));
      return;
    case Kind::kString:
      if (value.safe) out.add("Markup(");
      add_string_repr(out, value.text());
      if (value.safe) out.add(")");
      return;
    case Kind::kList:
      out.add("[");
      add_items(out, value.as<Sequence>().items);
      out.add("]");
      return;
    case Kind::kTuple: {
      const auto& items = value.as<Sequence>().items;
      out.add("(");
      add_items(out, items);
      out.add(items.size() == 1 ? ",)" : ")");
      return;
    }
    case Kind::kDict:
      add_dict(out, value.as<Dict>());
      return;
    case Kind::kRange: {
      const auto& range = value.as<Range>();
      out.add(range.step == 1
                  ? fmt::format("range({}, {})", range.start, range.stop)
                  : fmt::format("range({}, {}, {})", range.start, range.stop, range.step));
      return;
    }
    case Kind::kView:
      add_view(out, value.as<View>());
      return;
    case Kind::kNamespace:
      out.add("<Namespace ");
      add_dict(out, *value.as<Namespace>().attributes);
      out.add(">");
      return;
    case Kind::kMacro:
      out.add(fmt::format("<Macro '{}'>", value.as<Macro>().name()));
      return;
    case Kind::kIterator:
      out.add("<generator>");
      return;
    case Kind::kFunction:
      out.add("<function>");
      return;
    case Kind::kLoop:
      out.add("<LoopContext>");
      return;
  }
}

Value str_of(Heap& heap, const Value& value) {
  if (value.is(Kind::kString)) return view_of(value.text());
  TextBuilder out(heap);
  add_str(out, value);
  return out.value();
}

}  // namespace airlock::chat
