#include <array>
#include <charconv>
#include <cmath>

#include "airlock/chat/filters.h"
#include "airlock/chat/unicode.h"

namespace airlock::chat {
namespace {

/// `text` without white space around it, its sign apart, and single underscores between digits.
std::optional<std::string> plain_number(std::string_view text, bool& negative) {
  text = strip_left(strip_right(text));
  negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto alnum = [&](std::size_t at) {
      return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
    };
    if (text[i] != '_') {
      plain += text[i];
    } else if (i == 0 || !alnum(i - 1) || !alnum(i + 1)) {
      return std::nullopt;
    }
  }
  return plain;
}

std::optional<std::int64_t> parse_whole(std::string_view text, std::int64_t base) {
  bool negative = false;
  std::optional<std::string> plain = plain_number(text, negative);
  if (!plain || base < 0 || base == 1 || base > 36) return std::nullopt;
  const auto has_prefix = [&](char mark) {
    return plain->size() > 2 && (*plain)[0] == '0' && ((*plain)[1] | 0x20) == mark;
  };
  for (const auto& [mark, of] : {std::pair('x', 16), std::pair('o', 8), std::pair('b', 2)}) {
    if ((base != 0 && base != of) || !has_prefix(mark)) continue;
    plain->erase(0, 2);
    base = of;
    break;
  }
  if (negative) plain->insert(plain->begin(), '-');
  std::int64_t number = 0;
  const char* const end = plain->data() + plain->size();
  const auto read =
      std::from_chars(plain->data(), end, number, base == 0 ? 10 : static_cast<int>(base));
  if (read.ptr != end || read.ec == std::errc::invalid_argument) return std::nullopt;
  if (read.ec != std::errc()) refuse("an int is beyond 64 bits");
  return number;
}

std::optional<double> parse_real(std::string_view text) {
  bool negative = false;
  const std::optional<std::string> plain = plain_number(text, negative);
  if (!plain || plain->empty() || (*plain)[0] == '-') return std::nullopt;
  double number = 0;
  const char* const end = plain->data() + plain->size();
  const auto read = std::from_chars(plain->data(), end, number);
  if (read.ptr != end || read.ec == std::errc::invalid_argument) return std::nullopt;
  if (read.ec != std::errc()) number = plain->find("e-") != std::string::npos ? 0.0 : HUGE_VAL;
  return negative ? -number : number;
}

std::int64_t truncated(double number) {
  if (!(std::fabs(number) < 9223372036854775808.0)) refuse("an int is beyond 64 bits");
  return static_cast<std::int64_t>(number);
}

Value int_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("int", args, {"default", "base"});
  evaluator.heap().step(input.is(Kind::kString) ? input.size / 8 : 0);
  const Value standard = params.get(0) == nullptr ? integer(0) : params[0];
  require_defined(input);
  if (input.is_int()) return integer(input.as_int());
  if (input.is(Kind::kFloat))
    return std::isnan(input.real) ? standard : integer(truncated(input.real));
  if (!input.is(Kind::kString)) return standard;
  if (const auto whole = parse_whole(input.text(), params.whole(1, 10))) return integer(*whole);
  const auto real = parse_real(input.text());
  return real && std::isfinite(*real) ? integer(truncated(*real)) : standard;
}

Value float_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("float", args, {"default"});
  evaluator.heap().step(input.is(Kind::kString) ? input.size / 8 : 0);
  require_defined(input);
  if (input.is_number()) return real(input.as_real());
  if (input.is(Kind::kString)) {
    if (const auto number = parse_real(input.text())) return real(*number);
  }
  return params.get(0) == nullptr ? real(0.0) : params[0];
}

Value abs_filter(Evaluator&, const Value& input, const CallArgs& args) {
  const Params params("abs", args, {});
  require_defined(input);
  if (input.is(Kind::kFloat)) return real(std::fabs(input.real));
  return input.is_int() && input.as_int() >= 0 ? integer(input.as_int()) : negated(input);
}

/// Python's round of a float to `precision` decimals: half to even, of the exact value.
double rounded(double number, std::int64_t precision) {
  if (!std::isfinite(number)) return number;
  if (precision > 340) return number;
  if (precision < -308) return std::copysign(0.0, number);
  if (precision < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(number / unit) * unit;
  }
  std::array<char, 800> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                                 std::chars_format::fixed, static_cast<int>(precision));
  double result = number;
  std::from_chars(buffer.data(), end.ptr, result);
  return result;
}

Value round_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("round", args, {"precision", "method"});
  const std::int64_t precision = params.whole(0, 0);
  const std::string_view method = params.text(1, "common");
  require_defined(input);
  if (method != "common" && method != "ceil" && method != "floor")
    refuse("`round` wants the method common, ceil or floor");
  if (!input.is_number())
    refuse("`round` wants a number, not a value of type {}", type_name(input));
  if (method == "common") {
    if (input.is(Kind::kFloat)) return real(rounded(input.real, precision));
    if (precision >= 0) return integer(input.as_int());
    return integer(truncated(rounded(input.as_real(), precision)));
  }
  const Value unit =
      arithmetic(evaluator.heap(), Operator::kPower, integer(10), integer(precision));
  const double scaled = arithmetic(evaluator.heap(), Operator::kMultiply, input, unit).as_real();
  const std::int64_t whole = truncated(method == "ceil" ? std::ceil(scaled) : std::floor(scaled));
  return arithmetic(evaluator.heap(), Operator::kDivide, integer(whole), unit);
}

Value sum_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("sum", args, {"attribute", "start"});
  const Getter getter(evaluator.heap(), params.get(0), false);
  Value sum = params.get(1) == nullptr ? integer(0) : params[1];
  if (sum.is(Kind::kString)) refuse("`sum` cannot add strings: use `join`");
  Iterator* const items = iterate(evaluator.heap(), input);
  for (Value item; items->next(item);)
    sum = arithmetic(evaluator.heap(), Operator::kAdd, sum, getter(evaluator, item));
  return sum;
}

constexpr std::array kNumberFilters = {
    FilterEntry{"int", int_filter}, FilterEntry{"float", float_filter},
    FilterEntry{"abs", abs_filter}, FilterEntry{"round", round_filter},
    FilterEntry{"sum", sum_filter},
};

}  // namespace

std::span<const FilterEntry> number_filters() {
  return kNumberFilters;
}

}  // namespace airlock::chat
