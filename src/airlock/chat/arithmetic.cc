#include <cmath>

#include "airlock/chat/evaluator.h"
#include "airlock/chat/markup.h"

namespace airlock::chat {
namespace {

[[noreturn]] void overflow() {
  refuse("an int is beyond 64 bits");
}

std::string_view sign_of(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    default:
      return "**";
  }
}

bool is_sequence(const Value& value) {
  return value.is(Kind::kString) || value.is(Kind::kList) || value.is(Kind::kTuple);
}

Value repeated(Heap& heap, const Value& what, std::int64_t times) {
  if (what.is(Kind::kString)) {
    TextBuilder text(heap);
    if (what.size == 0) return what;
    if (what.size == 1) {
      text.add(times, what.chars[0]);
    } else {
      for (std::int64_t i = 0; i < times; ++i) text.add(what.text());
    }
    return text.value();
  }
  std::vector<Value> items;
  const auto& source = what.as<Sequence>().items;
  for (std::int64_t i = 0; i < times && !source.empty(); ++i) {
    heap.charge(source.size() * sizeof(Value));
    items.insert(items.end(), source.begin(), source.end());
  }
  return heap.sequence(what.kind, std::move(items));
}

Value joined(Heap& heap, const Value& a, const Value& b) {
  if (a.is(Kind::kString)) {
    TextBuilder text(heap);
    const bool safe = a.safe || b.safe;
    text.add(safe && !a.safe ? escaped(heap, a.text()) : a.text());
    text.add(safe && !b.safe ? escaped(heap, b.text()) : b.text());
    Value sum = text.value();
    sum.safe = safe;
    return sum;
  }
  const auto& left = a.as<Sequence>().items;
  const auto& right = b.as<Sequence>().items;
  heap.charge((left.size() + right.size()) * sizeof(Value));
  std::vector<Value> items(left);
  items.insert(items.end(), right.begin(), right.end());
  return heap.sequence(a.kind, std::move(items));
}

double floor_modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return rest == 0 ? std::copysign(0.0, b) : rest;
}

Value real_arithmetic(Operator op, double a, double b) {
  const bool divides =
      op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo;
  if (divides && b == 0) refuse("division by zero");
  switch (op) {
    case Operator::kAdd:
      return real(a + b);
    case Operator::kSubtract:
      return real(a - b);
    case Operator::kMultiply:
      return real(a * b);
    case Operator::kDivide:
      return real(a / b);
    case Operator::kModulo:
      return real(floor_modulo(a, b));
    case Operator::kFloorDivide: {
      const double quotient = (a - floor_modulo(a, b)) / b;
      return real(quotient == 0 ? std::copysign(0.0, a / b) : std::round(quotient));
    }
    default:
      break;
  }
  if (a == 0 && b < 0) refuse("0.0 cannot be raised to a negative power");
  const double power = std::pow(a, b);
  if (std::isnan(power) && !std::isnan(a) && !std::isnan(b))
    refuse("a negative number to a broken power is not real");
  if (std::isinf(power) && std::isfinite(a) && std::isfinite(b))
    refuse("a power is too large for a float");
  return real(power);
}

std::int64_t whole_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t power = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0) power = checked_multiply(power, base);
    exponent >>= 1;
    if (exponent > 0) base = checked_multiply(base, base);
  }
  return power;
}

Value whole_arithmetic(Operator op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case Operator::kAdd:
      return integer(checked_add(a, b));
    case Operator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow();
      return integer(result);
    case Operator::kMultiply:
      return integer(checked_multiply(a, b));
    case Operator::kFloorDivide:
    case Operator::kModulo: {
      if (b == 0) refuse("division by zero");
      if (b == -1) {
        if (op == Operator::kModulo) return integer(0);
        return integer(checked_multiply(a, -1));
      }
      const std::int64_t rest = a % b;
      const bool down = rest != 0 && (rest < 0) != (b < 0);
      return integer(op == Operator::kModulo ? rest + (down ? b : 0) : a / b - (down ? 1 : 0));
    }
    case Operator::kPower:
      if (b >= 0) return integer(whole_power(a, b));
      [[fallthrough]];
    default:
      return real_arithmetic(op, static_cast<double>(a), static_cast<double>(b));
  }
}

}  // namespace

std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) overflow();
  return sum;
}

std::int64_t checked_multiply(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) overflow();
  return product;
}

Value negated(const Value& value) {
  require_defined(value);
  if (value.is(Kind::kFloat)) return real(-value.real);
  if (!value.is_int()) refuse("unary - wants a number, not a value of type {}", type_name(value));
  return integer(checked_multiply(value.as_int(), -1));
}

bool in_order(Heap& heap, Operator op, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  const bool unordered =
      a.is_number() && b.is_number() && (std::isnan(a.as_real()) || std::isnan(b.as_real()));
  const int order = compare(heap, a, b);
  switch (op) {
    case Operator::kLess:
      return !unordered && order < 0;
    case Operator::kLessEqual:
      return !unordered && order <= 0;
    case Operator::kGreater:
      return !unordered && order > 0;
    default:
      return !unordered && order >= 0;
  }
}

Value arithmetic(Heap& heap, Operator op, const Value& a, const Value& b) {
  if (op == Operator::kModulo && a.is(Kind::kString)) return percent_format(heap, a.text(), b);
  require_defined(a);
  require_defined(b);
  if (a.is_int() && b.is_int()) return whole_arithmetic(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return real_arithmetic(op, a.as_real(), b.as_real());
  if (op == Operator::kAdd && a.kind == b.kind && is_sequence(a)) return joined(heap, a, b);
  if (op == Operator::kMultiply && is_sequence(a) && b.is_int())
    return repeated(heap, a, b.as_int());
  if (op == Operator::kMultiply && is_sequence(b) && a.is_int())
    return repeated(heap, b, a.as_int());
  refuse("{} does not work between {} and {}", sign_of(op), type_name(a), type_name(b));
}

}  // namespace airlock::chat
