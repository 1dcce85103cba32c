#include <cmath>

#include "airlock/chat/evaluator.h"
#include "airlock/chat/format_spec.h"
#include "airlock/chat/unicode.h"

namespace airlock::chat {
namespace {

/// The arguments of "..." % arguments, in turn or by name.
class PercentArguments {
 public:
  PercentArguments(Heap& heap, const Value& all) : heap_(heap), all_(all) {}
  const Value& next() {
    if (!all_.is(Kind::kTuple)) {
      if (used_++ > 0) refuse("not enough arguments for the format");
      return all_;
    }
    const auto& items = all_.as<Sequence>().items;
    if (used_ >= items.size()) refuse("not enough arguments for the format");
    return items[used_++];
  }
  const Value& named(std::string_view name) {
    if (!all_.is(Kind::kDict)) refuse("the format names its arguments: it wants a dict");
    by_name_ = true;
    const Value* const found = all_.as<Dict>().find(heap_, name);
    if (found == nullptr) refuse("the format names an argument that the dict lacks");
    return *found;
  }
  void end() const {
    if (by_name_ || all_.is(Kind::kDict)) return;
    const std::size_t given = all_.is(Kind::kTuple) ? all_.as<Sequence>().items.size() : 1;
    if (used_ < given && !(all_.is(Kind::kList) && used_ == 0))
      refuse("not all arguments are used by the format");
  }

 private:
  Heap& heap_;
  const Value& all_;
  std::size_t used_ = 0;
  bool by_name_ = false;
};

void add_percent(TextBuilder& out, char type, const Value& value, FormatSpec spec) {
  switch (type) {
    case 's':
    case 'r':
    case 'a': {
      TextBuilder text(out.heap());
      if (type == 's') {
        add_str(text, value);
      } else {
        add_repr(text, value);
      }
      std::string_view shown = text.text();
      if (spec.precision >= 0) shown = shown.substr(0, byte_of_character(shown, spec.precision));
      if (spec.align == '=') spec.align = '\0', spec.fill = " ";
      add_padded(out, shown, spec, '>');
      return;
    }
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      require_defined(value);
      if (!value.is_number() ||
          (value.is(Kind::kFloat) && type != 'd' && type != 'i' && type != 'u'))
        refuse("%{} wants a number, not a value of type {}", type, type_name(value));
      if (value.is(Kind::kFloat) && !(std::fabs(value.real) < 9.2e18))
        refuse("an int is beyond 64 bits");
      spec.type = type == 'i' || type == 'u' ? 'd' : type;
      FormatSpec whole = spec;
      const std::int64_t number =
          value.is(Kind::kFloat) ? static_cast<std::int64_t>(value.real) : value.as_int();
      whole.precision = -1;
      if (spec.precision >= 0) {
        // A precision is the least number of digits.
        FormatSpec digits = whole;
        digits.align = '=';
        digits.fill = "0";
        digits.width = spec.precision + (number < 0 || spec.sign != '-' ? 1 : 0);
        TextBuilder text(out.heap());
        add_number(text, integer(number), digits);
        add_padded(out, text.text(), spec, '>');
        return;
      }
      add_number(out, integer(number), whole);
      return;
    }
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G':
      require_defined(value);
      if (!value.is_number())
        refuse("%{} wants a number, not a value of type {}", type, type_name(value));
      spec.type = type;
      add_number(out, value, spec);
      return;
    case 'c':
      if (value.is(Kind::kString) && count_characters(value.text()) == 1) {
        add_padded(out, value.text(), spec, '>');
        return;
      }
      [[fallthrough]];
    default:
      refuse("the format has an unsupported %{}", type >= ' ' && type < 127 ? type : '?');
  }
}

}  // namespace

Value percent_format(Heap& heap, std::string_view format, const Value& arguments) {
  TextBuilder out(heap);
  PercentArguments args(heap, arguments);
  while (!format.empty()) {
    const std::size_t plain = std::min(format.find('%'), format.size());
    out.add(format.substr(0, plain));
    format.remove_prefix(plain);
    if (format.empty()) break;
    format.remove_prefix(1);
    FormatSpec spec;
    const Value* value = nullptr;
    if (format.starts_with('(')) {
      const std::size_t close = format.find(')');
      if (close == std::string_view::npos) refuse("the format has a name that is never ended");
      value = &args.named(format.substr(1, close - 1));
      format.remove_prefix(close + 1);
    }
    for (; !format.empty(); format.remove_prefix(1)) {
      const char flag = format[0];
      if (flag == '-') {
        spec.align = '<';
        spec.fill = " ";
      } else if (flag == '0') {
        if (spec.align == '\0') spec.align = '=', spec.fill = "0";
      } else if (flag == '+' || (flag == ' ' && spec.sign != '+')) {
        spec.sign = flag;
      } else if (flag == '#') {
        spec.alternate = true;
      } else if (flag != ' ') {
        break;
      }
    }
    const auto amount = [&]() -> std::int64_t {
      if (!format.starts_with('*')) return read_format_number(format);
      format.remove_prefix(1);
      const Value& given = args.next();
      if (!given.is_int() || given.as_int() < 0 || given.as_int() > kMaxFormatWidth)
        refuse("* in a format wants an int from 0 to {}", kMaxFormatWidth);
      return given.as_int();
    };
    spec.width = amount();
    if (format.starts_with('.')) {
      format.remove_prefix(1);
      spec.precision = amount();
    }
    while (!format.empty() && (format[0] == 'l' || format[0] == 'h' || format[0] == 'L'))
      format.remove_prefix(1);
    if (format.empty()) refuse("the format ends in the middle");
    const char type = format[0];
    format.remove_prefix(1);
    if (type == '%') {
      out.add("%");
    } else {
      add_percent(out, type, value != nullptr ? *value : args.next(), spec);
    }
  }
  args.end();
  return out.value();
}

}  // namespace airlock::chat
