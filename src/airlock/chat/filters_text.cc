#include <array>

#include "airlock/chat/filters.h"
#include "airlock/chat/json.h"
#include "airlock/chat/markup.h"
#include "airlock/chat/strings.h"
#include "airlock/chat/unicode.h"
#include "airlock/core/utf8.h"

namespace airlock::chat {

std::string_view escaped(Heap& heap, std::string_view text) {
  TextBuilder out(heap);
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find_first_of("&<>'\""), text.size());
    out.add(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    const char c = text[0];
    out.add(c == '&'    ? "&amp;"
            : c == '<'  ? "&lt;"
            : c == '>'  ? "&gt;"
            : c == '\'' ? "&#39;"
                        : "&#34;");
    text.remove_prefix(1);
  }
  return out.value().text();
}

namespace {

/// The string method `name` of the input as a string.
Value by_method(Evaluator& evaluator, const Value& input, std::string_view name, CallArgs args) {
  return find_string_method(name)(evaluator, str_of(evaluator.heap(), input), args);
}

Value upper_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return by_method(evaluator, input, "upper", args);
}
Value lower_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return by_method(evaluator, input, "lower", args);
}
Value capitalize_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return by_method(evaluator, input, "capitalize", args);
}

Value title_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("title", args, {});
  Heap& heap = evaluator.heap();
  const std::string_view text = str_of(heap, input).text();
  heap.charge(3 * text.size());
  std::string out;
  bool begins = true;
  // Words end at the characters that Jinja names; one letter goes to upper case, the rest to lower.
  for (std::size_t at = 0; at < text.size();) {
    Characters walk{text.substr(at)};
    const std::string_view c = walk.next();
    const bool parts =
        is_space(utf8_code_point(c)) || c.find_first_of("-({[<") != std::string_view::npos;
    if (parts) {
      out += c;
      begins = true;
      at += c.size();
    } else if (begins) {
      out += upper(c);
      begins = false;
      at += c.size();
    } else {
      std::size_t end = at;
      for (Characters rest{text.substr(at)}; !rest.rest.empty();) {
        const std::string_view next = rest.next();
        if (is_space(utf8_code_point(next)) ||
            next.find_first_of("-({[<") != std::string_view::npos)
          break;
        end += next.size();
      }
      out += lower(text.substr(at, end - at));
      at = end;
    }
  }
  return heap.adopt(std::move(out));
}

Value trim_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("trim", args, {"chars"});
  CallArgs characters;
  if (params.get(0) != nullptr) characters.positional = {params[0]};
  return by_method(evaluator, input, "strip", std::move(characters));
}

Value replace_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("replace", args, {"old", "new", "count"}, 2);
  Heap& heap = evaluator.heap();
  return replace(heap, str_of(heap, input).text(), str_of(heap, params[0]).text(),
                 str_of(heap, params[1]).text(), params.whole(2).value_or(-1));
}

Value string_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("string", args, {});
  return input.is(Kind::kString) ? input : str_of(evaluator.heap(), input);
}

Value center_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("center", args, {"width"});
  return padded(evaluator.heap(), str_of(evaluator.heap(), input).text(), params.whole(0, 80), " ",
                '^');
}

Value format_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  Heap& heap = evaluator.heap();
  if (!args.positional.empty() && !args.named.empty())
    refuse("`format` takes arguments with names or without, not both");
  Value arguments = heap.sequence(Kind::kTuple, args.positional);
  if (!args.named.empty()) {
    Dict* const dict = heap.make<Dict>();
    for (const auto& [name, value] : args.named) dict->set(heap, heap.text(name), value);
    arguments = dict_value(dict);
  }
  return percent_format(heap, str_of(heap, input).text(), arguments);
}

std::string_view text_of(const Value& input, std::string_view filter) {
  require_defined(input);
  if (!input.is(Kind::kString))
    refuse("`{}` wants a string, not a value of type {}", filter, type_name(input));
  return input.text();
}

Value indent_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("indent", args, {"width", "first", "blank"});
  Heap& heap = evaluator.heap();
  std::string_view space;
  if (params.get(0) != nullptr && params[0].is(Kind::kString)) {
    space = params[0].text();
  } else {
    TextBuilder spaces(heap);
    spaces.add(params.whole(0, 4), ' ');
    space = spaces.value().text();
  }
  TextBuilder with_end(heap);
  with_end.add(text_of(input, "indent"));
  with_end.add("\n");
  const bool blank = params.truth(2);
  TextBuilder out(heap);
  bool begins = true;
  for (const std::string_view line : split_lines(heap, with_end.text(), false)) {
    if (!begins) out.add("\n");
    if (begins ? params.truth(1) : blank || !line.empty()) out.add(space);
    out.add(line);
    begins = false;
  }
  return out.value();
}

Value truncate_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("truncate", args, {"length", "killwords", "end", "leeway"});
  const std::string_view text = text_of(input, "truncate");
  evaluator.heap().step(text.size() / 16);
  const std::string_view end = params.text(2, "...");
  const std::int64_t length = params.whole(0, 255);
  const std::int64_t leeway = params.whole(3).value_or(5);
  if (length < count_characters(end) || leeway < 0)
    refuse("`truncate` wants a length that its end fits in");
  if (count_characters(text) <= checked_add(length, leeway)) return input;
  std::string_view kept = text.substr(0, byte_of_character(text, length - count_characters(end)));
  if (!params.truth(1)) kept = kept.substr(0, kept.rfind(' '));
  TextBuilder out(evaluator.heap());
  out.add(kept);
  out.add(end);
  return out.value();
}

Value wordcount_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("wordcount", args, {});
  std::int64_t count = 0;
  bool in_word = false;
  evaluator.heap().step(input.is(Kind::kString) ? input.size / 2 : 0);
  for (Characters walk{str_of(evaluator.heap(), input).text()}; !walk.rest.empty();) {
    const char32_t c = utf8_code_point(walk.next());
    const bool is_word = c == '_' || is_alpha(c) || is_numeric(c);
    count += is_word && !in_word;
    in_word = is_word;
  }
  return integer(count);
}

Value safe_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("safe", args, {});
  Value text = str_of(evaluator.heap(), input);
  text.safe = true;
  return text;
}

Value escape_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("escape", args, {});
  if (input.is(Kind::kString) && input.safe) return input;
  Value text = view_of(escaped(evaluator.heap(), str_of(evaluator.heap(), input).text()));
  text.safe = true;
  return text;
}

Value forceescape_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return escape_filter(evaluator, str_of(evaluator.heap(), input), args);
}

Value urlencode_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("urlencode", args, {});
  if (!input.is(Kind::kString))
    refuse("`urlencode` wants a string, not a value of type {}", type_name(input));
  TextBuilder out(evaluator.heap());
  for (const char c : input.text()) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~/").find(c) != std::string_view::npos;
    out.add(plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c)));
  }
  return out.value();
}

Value tojson_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  Heap& heap = evaluator.heap();
  JsonStyle style;
  style.ensure_ascii = params.truth(0);
  style.sort_keys = params.truth(3);
  if (const Value* const indent = params.get(1); indent != nullptr && !indent->is(Kind::kNone)) {
    style.indented = true;
    style.item_separator = ",";
    if (indent->is(Kind::kString)) {
      style.indent = indent->text();
    } else {
      TextBuilder spaces(heap);
      spaces.add(params.whole(1, 0), ' ');
      style.indent = spaces.value().text();
    }
  }
  if (const Value* const separators = params.get(2);
      separators != nullptr && !separators->is(Kind::kNone)) {
    const std::vector<Value> two = items_of(heap, *separators);
    if (two.size() != 2 || !two[0].is(Kind::kString) || !two[1].is(Kind::kString))
      refuse("`tojson` wants two strings as separators");
    style.item_separator = two[0].text();
    style.key_separator = two[1].text();
  }
  TextBuilder out(heap);
  write_json(out, input, style);
  return out.value();
}

constexpr std::array kTextFilters = {
    FilterEntry{"upper", upper_filter},
    FilterEntry{"lower", lower_filter},
    FilterEntry{"capitalize", capitalize_filter},
    FilterEntry{"title", title_filter},
    FilterEntry{"trim", trim_filter},
    FilterEntry{"replace", replace_filter},
    FilterEntry{"string", string_filter},
    FilterEntry{"center", center_filter},
    FilterEntry{"format", format_filter},
    FilterEntry{"indent", indent_filter},
    FilterEntry{"truncate", truncate_filter},
    FilterEntry{"wordcount", wordcount_filter},
    FilterEntry{"safe", safe_filter},
    FilterEntry{"e", escape_filter},
    FilterEntry{"escape", escape_filter},
    FilterEntry{"forceescape", forceescape_filter},
    FilterEntry{"urlencode", urlencode_filter},
    FilterEntry{"tojson", tojson_filter},
};

}  // namespace

std::span<const FilterEntry> text_filters() {
  return kTextFilters;
}

}  // namespace airlock::chat
