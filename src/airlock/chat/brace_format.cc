#include "airlock/chat/evaluator.h"
#include "airlock/chat/format_spec.h"

namespace airlock::chat {
namespace {

/// One rendering of "...".format(...).
class BraceFormat {
 public:
  BraceFormat(Evaluator& evaluator, const CallArgs& args) : evaluator_(evaluator), args_(args) {}

  void add(TextBuilder& out, std::string_view format, int depth) {
    if (depth > 2) refuse("a format nested too deep");
    while (!format.empty()) {
      const std::size_t plain = std::min(format.find_first_of("{}"), format.size());
      out.add(format.substr(0, plain));
      format.remove_prefix(plain);
      if (format.empty()) return;
      if (format.size() > 1 && format[1] == format[0]) {
        out.add(format.substr(0, 1));
        format.remove_prefix(2);
        continue;
      }
      if (format[0] == '}') refuse("a single `}}` in a format");
      std::size_t end = 1;
      for (int open = 1; open > 0; ++end) {
        if (end >= format.size()) refuse("a `{{` in a format is never ended");
        open += format[end] == '{' ? 1 : format[end] == '}' ? -1 : 0;
      }
      add_field(out, format.substr(1, end - 2), depth);
      format.remove_prefix(end);
    }
  }

 private:
  void add_field(TextBuilder& out, std::string_view field, int depth) {
    const std::size_t end = std::min(field.find_first_of("!:"), field.size());
    Value value = value_of(field.substr(0, end));
    field.remove_prefix(end);
    if (field.starts_with('!')) {
      if (field.size() < 2 || (field.size() > 2 && field[2] != ':'))
        refuse("a format wants !s or !r");
      TextBuilder text(evaluator_.heap());
      if (field[1] == 'r') {
        add_repr(text, value);
      } else if (field[1] == 's') {
        add_str(text, value);
      } else {
        refuse("a format wants !s or !r");
      }
      value = text.value();
      field.remove_prefix(2);
    }
    if (field.starts_with(':')) field.remove_prefix(1);
    TextBuilder spec(evaluator_.heap());
    add(spec, field, depth + 1);
    add_formatted(out, value, spec.text());
  }

  Value value_of(std::string_view name) {
    const std::size_t end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, end);
    Value value;
    if (first.empty() || (first[0] >= '0' && first[0] <= '9')) {
      std::string_view digits = first;
      const bool counted = first.empty();
      if (counted ? named_ : next_ > 0) refuse("a format mixes {{}} and {{0}}");
      named_ = !counted;
      const auto at =
          static_cast<std::size_t>(first.empty() ? next_++ : read_format_number(digits));
      if (!digits.empty() || at >= args_.positional.size())
        refuse("a format wants an argument that is not given");
      value = args_.positional[at];
    } else {
      const Value* const found = args_.find(first);
      if (found == nullptr) refuse("a format wants an argument that is not given");
      value = *found;
    }
    name.remove_prefix(end);
    while (!name.empty()) {
      if (name[0] == '.') {
        const std::size_t stop = std::min(name.find_first_of(".[", 1), name.size());
        value = evaluator_.attribute(value, name.substr(1, stop - 1));
        name.remove_prefix(stop);
      } else {
        const std::size_t close = name.find(']');
        if (name[0] != '[' || close == std::string_view::npos)
          refuse("a format has a broken field");
        const std::string_view key = name.substr(1, close - 1);
        std::string_view digits = key;
        const std::int64_t number = key.empty() ? 0 : read_format_number(digits);
        value =
            evaluator_.item(value, !key.empty() && digits.empty() ? integer(number) : view_of(key));
        name.remove_prefix(close + 1);
      }
    }
    return value;
  }

  Evaluator& evaluator_;
  const CallArgs& args_;
  std::int64_t next_ = 0;
  bool named_ = false;  ///< has a field with a number
};

}  // namespace

Value brace_format(Evaluator& evaluator, std::string_view format, const CallArgs& args) {
  TextBuilder out(evaluator.heap());
  BraceFormat(evaluator, args).add(out, format, 0);
  return out.value();
}

}  // namespace airlock::chat
