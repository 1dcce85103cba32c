#include <algorithm>
#include <array>

#include "airlock/chat/evaluator.h"
#include "airlock/chat/strings.h"
#include "airlock/chat/unicode.h"
#include "airlock/core/utf8.h"

namespace airlock::chat {
namespace {

// What every method is declared as.
#define AIRLOCK_METHOD(name) \
  Value name([[maybe_unused]] Evaluator& evaluator, const Value& self, const CallArgs& args)

/// A case mapping: at most three characters for one.
Value mapped(Evaluator& evaluator, const Value& self, const CallArgs& args, std::string_view name,
             std::string (*map)(std::string_view)) {
  const Params params(name, args, {});
  evaluator.heap().charge(3 * self.size);
  evaluator.heap().step(self.size / 4);
  return evaluator.heap().adopt(map(self.text()));
}
AIRLOCK_METHOD(upper_method) {
  return mapped(evaluator, self, args, "upper", upper);
}
AIRLOCK_METHOD(lower_method) {
  return mapped(evaluator, self, args, "lower", lower);
}
AIRLOCK_METHOD(casefold_method) {
  return mapped(evaluator, self, args, "casefold", lower);
}
AIRLOCK_METHOD(title_method) {
  return mapped(evaluator, self, args, "title", title);
}
AIRLOCK_METHOD(capitalize_method) {
  return mapped(evaluator, self, args, "capitalize", capitalize);
}
AIRLOCK_METHOD(swapcase_method) {
  return mapped(evaluator, self, args, "swapcase", swapcase);
}

Value stripped(Evaluator& evaluator, const Value& self, const CallArgs& args, std::string_view name,
               bool left, bool right) {
  const Params params(name, args, {"chars"}, 0, true);
  evaluator.heap().step(self.size / 64);
  if (params.get(0) == nullptr || params[0].is(Kind::kNone))
    return view_of(strip(self.text(), nullptr, left, right));
  const std::string_view characters = params.text(0, "");
  evaluator.heap().step((self.size + 1) * (characters.size() + 1) / 4);
  return view_of(strip(self.text(), &characters, left, right));
}
AIRLOCK_METHOD(strip_method) {
  return stripped(evaluator, self, args, "strip", true, true);
}
AIRLOCK_METHOD(lstrip_method) {
  return stripped(evaluator, self, args, "lstrip", true, false);
}
AIRLOCK_METHOD(rstrip_method) {
  return stripped(evaluator, self, args, "rstrip", false, true);
}

AIRLOCK_METHOD(split_method) {
  const Params params("split", args, {"sep", "maxsplit"});
  return split(evaluator.heap(), self.text(), params.get(0), params.whole(1, -1));
}
AIRLOCK_METHOD(rsplit_method) {
  const Params params("rsplit", args, {"sep", "maxsplit"});
  return split_right(evaluator.heap(), self.text(), params.get(0), params.whole(1, -1));
}
AIRLOCK_METHOD(splitlines_method) {
  const Params params("splitlines", args, {"keepends"});
  std::vector<Value> lines;
  for (const std::string_view line : split_lines(evaluator.heap(), self.text(), params.truth(0)))
    lines.push_back(view_of(line));
  return evaluator.heap().sequence(Kind::kList, std::move(lines));
}

Value partitioned(Evaluator& evaluator, const Value& self, const CallArgs& args, bool last) {
  const Params params("partition", args, {"sep"}, 1, true);
  const std::string_view text = self.text();
  const std::string_view separator = params.text(0, "");
  if (separator.empty()) refuse("`partition` wants a separator that is not empty");
  evaluator.heap().step(text.size() / 8);
  const std::size_t at =
      last ? find_text_last(evaluator.heap(), text, separator) : find_text(text, separator);
  std::vector<Value> parts;
  if (at != std::string_view::npos) {
    parts = {view_of(text.substr(0, at)), view_of(text.substr(at, separator.size())),
             view_of(text.substr(at + separator.size()))};
  } else if (last) {
    parts = {view_of(""), view_of(""), self};
  } else {
    parts = {self, view_of(""), view_of("")};
  }
  return evaluator.heap().sequence(Kind::kTuple, std::move(parts));
}
AIRLOCK_METHOD(partition_method) {
  return partitioned(evaluator, self, args, false);
}
AIRLOCK_METHOD(rpartition_method) {
  return partitioned(evaluator, self, args, true);
}

AIRLOCK_METHOD(replace_method) {
  const Params params("replace", args, {"old", "new", "count"}, 2, true);
  return replace(evaluator.heap(), self.text(), params.text(0, ""), params.text(1, ""),
                 params.whole(2, -1));
}

/// The part of `self` that the arguments `start` and `stop` leave, and the character it begins at.
/// Nothing if they cross.
std::optional<std::pair<std::string_view, std::int64_t>> part_of(Evaluator& evaluator,
                                                                 const Value& self,
                                                                 const Params& params) {
  evaluator.heap().step(self.size / 4);
  const std::int64_t length = count_characters(self.text());
  const auto bound = [length](std::optional<std::int64_t> given, std::int64_t standard) {
    const std::int64_t at = given.value_or(standard);
    return std::min(at < 0 ? std::max<std::int64_t>(at + length, 0) : at, length + 1);
  };
  const std::int64_t start = bound(params.whole(1), 0);
  const std::int64_t stop = std::min(bound(params.whole(2), length), length);
  if (start > length || start > stop) return std::nullopt;
  std::string_view text = self.text();
  text.remove_prefix(byte_of_character(text, start));
  return std::pair(text.substr(0, byte_of_character(text, stop - start)), start);
}

Value affixed(Evaluator& evaluator, const Value& self, const CallArgs& args, std::string_view name,
              bool (*matches)(std::string_view, std::string_view)) {
  const Params params(name, args, {"affix", "start", "end"}, 1, true);
  evaluator.heap().step(self.size / 64);
  const auto part = params.get(1) == nullptr
                        ? std::optional(std::pair(self.text(), std::int64_t{0}))
                        : part_of(evaluator, self, params);
  if (!params[0].is(Kind::kTuple)) return boolean(part && matches(part->first, params.text(0, "")));
  bool any = false;
  for (const Value& affix : params[0].as<Sequence>().items) {
    if (!affix.is(Kind::kString)) refuse("`{}` wants a tuple of strings", name);
    evaluator.heap().step(affix.size / 64 + 1);
    any = any || (part && matches(part->first, affix.text()));
  }
  return boolean(any);
}
AIRLOCK_METHOD(startswith_method) {
  return affixed(
      evaluator, self, args, "startswith",
      [](std::string_view text, std::string_view affix) { return text.starts_with(affix); });
}
AIRLOCK_METHOD(endswith_method) {
  return affixed(
      evaluator, self, args, "endswith",
      [](std::string_view text, std::string_view affix) { return text.ends_with(affix); });
}

/// The character at which the argument is found, or -1.
std::int64_t found_at(Evaluator& evaluator, const Value& self, const CallArgs& args,
                      std::string_view name, bool last) {
  const Params params(name, args, {"sub", "start", "end"}, 1, true);
  const std::string_view wanted = params.text(0, "");
  const auto part = part_of(evaluator, self, params);
  if (!part) return -1;
  const std::size_t at =
      last ? find_text_last(evaluator.heap(), part->first, wanted) : find_text(part->first, wanted);
  if (at == std::string_view::npos) return -1;
  return part->second + count_characters(part->first.substr(0, at));
}
AIRLOCK_METHOD(find_method) {
  return integer(found_at(evaluator, self, args, "find", false));
}
AIRLOCK_METHOD(rfind_method) {
  return integer(found_at(evaluator, self, args, "rfind", true));
}
AIRLOCK_METHOD(index_method) {
  const std::int64_t at = found_at(evaluator, self, args, "index", false);
  if (at < 0) refuse("`index`: the text is not there");
  return integer(at);
}
AIRLOCK_METHOD(rindex_method) {
  const std::int64_t at = found_at(evaluator, self, args, "rindex", true);
  if (at < 0) refuse("`rindex`: the text is not there");
  return integer(at);
}
AIRLOCK_METHOD(count_method) {
  const Params params("count", args, {"sub", "start", "end"}, 1, true);
  const std::string_view wanted = params.text(0, "");
  const auto part = part_of(evaluator, self, params);
  if (!part) return integer(0);
  if (wanted.empty()) return integer(count_characters(part->first) + 1);
  std::int64_t count = 0;
  std::string_view rest = part->first;
  for (std::size_t at = find_text(rest, wanted); at != std::string_view::npos;
       at = find_text(rest, wanted)) {
    ++count;
    rest.remove_prefix(at + wanted.size());
  }
  return integer(count);
}

AIRLOCK_METHOD(removeprefix_method) {
  const Params params("removeprefix", args, {"prefix"}, 1, true);
  evaluator.heap().step(self.size / 64);
  const std::string_view prefix = params.text(0, "");
  return view_of(self.text().starts_with(prefix) ? self.text().substr(prefix.size()) : self.text());
}
AIRLOCK_METHOD(removesuffix_method) {
  const Params params("removesuffix", args, {"suffix"}, 1, true);
  evaluator.heap().step(self.size / 64);
  const std::string_view suffix = params.text(0, "");
  return view_of(self.text().ends_with(suffix) ? self.text().substr(0, self.size - suffix.size())
                                               : self.text());
}

AIRLOCK_METHOD(join_method) {
  const Params params("join", args, {"iterable"}, 1, true);
  TextBuilder out(evaluator.heap());
  Iterator* const items = iterate(evaluator.heap(), params[0]);
  bool first = true;
  for (Value item; items->next(item); first = false) {
    if (!item.is(Kind::kString))
      refuse("`join` wants strings, not a value of type {}", type_name(item));
    evaluator.heap().step();
    if (!first) out.add(self.text());
    out.add(item.text());
  }
  return out.value();
}

Value padded_by(Evaluator& evaluator, const Value& self, const CallArgs& args,
                std::string_view name, char align) {
  const Params params(name, args, {"width", "fillchar"}, 1, true);
  const std::string_view fill = params.text(1, " ");
  if (count_characters(fill) != 1) refuse("`{}` wants one character to fill with", name);
  return padded(evaluator.heap(), self.text(), params.whole(0, 0), fill, align);
}
AIRLOCK_METHOD(ljust_method) {
  return padded_by(evaluator, self, args, "ljust", '<');
}
AIRLOCK_METHOD(rjust_method) {
  return padded_by(evaluator, self, args, "rjust", '>');
}
AIRLOCK_METHOD(center_method) {
  return padded_by(evaluator, self, args, "center", '^');
}
AIRLOCK_METHOD(zfill_method) {
  const Params params("zfill", args, {"width"}, 1, true);
  const bool has_sign = self.size > 0 && (self.chars[0] == '-' || self.chars[0] == '+');
  TextBuilder out(evaluator.heap());
  if (has_sign) out.add(self.text().substr(0, 1));
  const std::int64_t length = count_characters(self.text());
  const std::int64_t width = params.whole(0, 0);
  if (width > length) out.add(width - length, '0');
  out.add(self.text().substr(has_sign ? 1 : 0));
  return out.value();
}
AIRLOCK_METHOD(expandtabs_method) {
  const Params params("expandtabs", args, {"tabsize"});
  const std::int64_t size = params.whole(0, 8);
  TextBuilder out(evaluator.heap());
  std::int64_t column = 0;
  for (Characters walk{self.text()}; !walk.rest.empty();) {
    const std::string_view character = walk.next();
    if (character == "\t") {
      const std::int64_t spaces = size > 0 ? size - column % size : 0;
      out.add(spaces, ' ');
      column += spaces;
    } else {
      out.add(character);
      column = character == "\n" || character == "\r" ? 0 : column + 1;
    }
  }
  return out.value();
}
AIRLOCK_METHOD(format_method) {
  return brace_format(evaluator, self.text(), args);
}

/// True if there are characters and all are of a class.
template <bool (*Is)(char32_t)>
AIRLOCK_METHOD(all_are) {
  const Params params("is...", args, {});
  evaluator.heap().step(self.size / 2);
  for (Characters walk{self.text()}; !walk.rest.empty();)
    if (!Is(utf8_code_point(walk.next()))) return boolean(false);
  return boolean(self.size > 0);
}
bool is_alnum(char32_t c) {
  return is_alpha(c) || is_numeric(c) || is_digit(c) || is_decimal(c);
}
AIRLOCK_METHOD(isascii_method) {
  const Params params("isascii", args, {});
  evaluator.heap().step(self.size / 64);
  return boolean(count_characters(self.text()) == static_cast<std::int64_t>(self.size) &&
                 std::all_of(self.chars, self.chars + self.size, [](char c) { return c >= 0; }));
}
AIRLOCK_METHOD(isprintable_method) {
  return boolean(self.size == 0 || all_are<is_printable>(evaluator, self, args).truth);
}
AIRLOCK_METHOD(islower_method) {
  const Params params("islower", args, {});
  evaluator.heap().step(self.size / 2);
  return boolean(is_all_lower(self.text()));
}
AIRLOCK_METHOD(isupper_method) {
  const Params params("isupper", args, {});
  evaluator.heap().step(self.size / 2);
  return boolean(is_all_upper(self.text()));
}
AIRLOCK_METHOD(istitle_method) {
  const Params params("istitle", args, {});
  evaluator.heap().step(self.size / 2);
  return boolean(is_all_title(self.text()));
}
#undef AIRLOCK_METHOD

using Row = std::pair<std::string_view, FunctionPointer>;
constexpr std::array<Row, 42> kMethods = {{
    {"upper", upper_method},
    {"lower", lower_method},
    {"casefold", casefold_method},
    {"title", title_method},
    {"capitalize", capitalize_method},
    {"swapcase", swapcase_method},
    {"strip", strip_method},
    {"lstrip", lstrip_method},
    {"rstrip", rstrip_method},
    {"split", split_method},
    {"rsplit", rsplit_method},
    {"splitlines", splitlines_method},
    {"partition", partition_method},
    {"rpartition", rpartition_method},
    {"replace", replace_method},
    {"startswith", startswith_method},
    {"endswith", endswith_method},
    {"find", find_method},
    {"rfind", rfind_method},
    {"index", index_method},
    {"rindex", rindex_method},
    {"count", count_method},
    {"removeprefix", removeprefix_method},
    {"removesuffix", removesuffix_method},
    {"join", join_method},
    {"ljust", ljust_method},
    {"rjust", rjust_method},
    {"center", center_method},
    {"zfill", zfill_method},
    {"expandtabs", expandtabs_method},
    {"format", format_method},
    {"isspace", all_are<is_space>},
    {"isalpha", all_are<is_alpha>},
    {"isalnum", all_are<is_alnum>},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isnumeric", all_are<is_numeric>},
    {"isascii", isascii_method},
    {"isprintable", isprintable_method},
    {"islower", islower_method},
    {"isupper", isupper_method},
    {"istitle", istitle_method},
}};

}  // namespace

FunctionPointer find_string_method(std::string_view name) {
  const auto found = std::find_if(kMethods.begin(), kMethods.end(),
                                  [name](const Row& row) { return row.first == name; });
  return found == kMethods.end() ? nullptr : found->second;
}

}  // namespace airlock::chat
