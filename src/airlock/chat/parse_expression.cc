#include <algorithm>
#include <array>

#include "airlock/chat/parser.h"

namespace airlock::chat {
namespace {

/// Highest tree of one expression: `a + b + c` and `a|b|c` grow one with every term.
constexpr std::uint32_t kMaxHeight = 250;

}  // namespace

Expr& Parser::make(ExprKind kind, std::uint32_t line) {
  Expr& expr = program_.expressions.emplace_back();
  expr.kind = kind;
  expr.line = line;
  return expr;
}

const Expr* Parser::finish(Expr& expr) {
  std::uint32_t below = 0;
  const auto look = [&below](const Expr* child) {
    if (child != nullptr) below = std::max(below, child->height);
  };
  look(expr.a);
  look(expr.b);
  for (const Expr* item : expr.items) look(item);
  for (const Expr* argument : expr.arguments.positional) look(argument);
  for (const auto& [name, argument] : expr.arguments.named) look(argument);
  look(expr.arguments.star);
  look(expr.arguments.star_star);
  expr.height = below + 1;
  if (expr.height > kMaxHeight)
    bad(expr.line, "an expression of more than {} parts in each other", kMaxHeight);
  return &expr;
}

const Expr* Parser::binary(ExprKind kind, Operator op, const Expr* a, const Expr* b,
                           std::uint32_t line) {
  Expr& expr = make(kind, line);
  expr.op = op;
  expr.a = a;
  expr.b = b;
  return finish(expr);
}

const Expr* Parser::expression(Condition condition) {
  return condition == kWithCondition ? conditional() : disjunction();
}

const Expr* Parser::conditional() {
  const Nest nest(*this);
  const std::size_t known = unknown_.size();
  const std::uint32_t line = now().line;
  const Expr* expr = disjunction();
  while (skip_name("if")) {
    Expr& made = make(ExprKind::kConditional, line);
    made.a = expr;
    made.b = disjunction();
    made.items = {skip_name("else") ? conditional() : nullptr};
    expr = finish(made);
    unknown_.resize(known);
  }
  return expr;
}

const Expr* Parser::disjunction() {
  const std::uint32_t line = now().line;
  const Expr* left = conjunction();
  while (skip_name("or")) left = binary(ExprKind::kOr, {}, left, conjunction(), line);
  return left;
}

const Expr* Parser::conjunction() {
  const std::uint32_t line = now().line;
  const Expr* left = negation();
  while (skip_name("and")) left = binary(ExprKind::kAnd, {}, left, negation(), line);
  return left;
}

const Expr* Parser::negation() {
  const Nest nest(*this);
  const std::uint32_t line = now().line;
  if (skip_name("not")) return binary(ExprKind::kNot, {}, negation(), nullptr, line);
  return comparison();
}

const Expr* Parser::comparison() {
  constexpr std::array<std::pair<std::string_view, Operator>, 6> kSigns = {
      {{"==", Operator::kEqual},
       {"!=", Operator::kNotEqual},
       {"<", Operator::kLess},
       {"<=", Operator::kLessEqual},
       {">", Operator::kGreater},
       {">=", Operator::kGreaterEqual}}};
  const std::uint32_t line = now().line;
  const Expr* first = sum();
  Expr* made = nullptr;
  for (;;) {
    const auto* const sign = std::find_if(
        kSigns.begin(), kSigns.end(), [this](const auto& s) { return now().is_operator(s.first); });
    Operator op{};
    if (sign != kSigns.end()) {
      op = sign->second;
      take();
    } else if (skip_name("in")) {
      op = Operator::kIn;
    } else if (now().is_name("not") && after().is_name("in")) {
      take();
      take();
      op = Operator::kNotIn;
    } else {
      return made == nullptr ? first : finish(*made);
    }
    if (made == nullptr) {
      made = &make(ExprKind::kCompare, line);
      made->a = first;
    }
    made->operators.push_back(op);
    made->items.push_back(sum());
  }
}

const Expr* Parser::sum() {
  const std::uint32_t line = now().line;
  const Expr* left = concatenation();
  for (;;) {
    if (skip("+")) {
      left = binary(ExprKind::kBinary, Operator::kAdd, left, concatenation(), line);
    } else if (skip("-")) {
      left = binary(ExprKind::kBinary, Operator::kSubtract, left, concatenation(), line);
    } else {
      return left;
    }
  }
}

const Expr* Parser::concatenation() {
  const std::uint32_t line = now().line;
  const Expr* first = product();
  if (!now().is_operator("~")) return first;
  Expr& made = make(ExprKind::kConcat, line);
  made.items.push_back(first);
  while (skip("~")) made.items.push_back(product());
  return finish(made);
}

const Expr* Parser::product() {
  constexpr std::array<std::pair<std::string_view, Operator>, 4> kSigns = {
      {{"*", Operator::kMultiply},
       {"/", Operator::kDivide},
       {"//", Operator::kFloorDivide},
       {"%", Operator::kModulo}}};
  const std::uint32_t line = now().line;
  const Expr* left = power();
  for (;;) {
    const auto* const sign = std::find_if(
        kSigns.begin(), kSigns.end(), [this](const auto& s) { return now().is_operator(s.first); });
    if (sign == kSigns.end()) return left;
    take();
    left = binary(ExprKind::kBinary, sign->second, left, power(), line);
  }
}

const Expr* Parser::power() {
  const std::uint32_t line = now().line;
  const Expr* left = unary();
  while (skip("**")) left = binary(ExprKind::kBinary, Operator::kPower, left, unary(), line);
  return left;
}

const Expr* Parser::unary(bool with_filter) {
  const Nest nest(*this);
  const std::uint32_t line = now().line;
  const Expr* expr = nullptr;
  if (skip("-")) {
    expr = binary(ExprKind::kNegative, {}, unary(false), nullptr, line);
  } else if (skip("+")) {
    expr = binary(ExprKind::kPositive, {}, unary(false), nullptr, line);
  } else {
    expr = primary();
  }
  expr = postfix(expr);
  return with_filter ? filters_and_tests(expr) : expr;
}

const Expr* Parser::primary() {
  const Token& token = now();
  Expr* made = nullptr;
  switch (token.kind) {
    case TokenKind::kName: {
      take();
      const std::string& name = token.text;
      made = &make(ExprKind::kConst, token.line);
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        made->value = boolean(name == "true" || name == "True");
      } else if (name != "none" && name != "None") {
        made->kind = ExprKind::kName;
        made->symbol = symbol(name);
        if (made->symbol < std::size(mentions_)) mentions_[made->symbol] = true;
      }
      return made;
    }
    case TokenKind::kString: {
      std::string text;
      const std::uint32_t line = token.line;
      while (now().kind == TokenKind::kString) text += take().text;
      made = &make(ExprKind::kConst, line);
      made->value = view_of(keep(text));
      return made;
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      take();
      made = &make(ExprKind::kConst, token.line);
      made->value = token.kind == TokenKind::kInteger ? integer(token.integer) : real(token.real);
      return made;
    default:
      break;
  }
  if (skip("(")) {
    const Expr* inner = tuple(kWithCondition, {}, true);
    expect(")");
    return inner;
  }
  if (token.is_operator("[")) return list();
  if (token.is_operator("{")) return dict();
  unexpected("an expression");
}

const Expr* Parser::tuple(Condition condition, std::string_view end, bool parentheses) {
  const std::uint32_t line = now().line;
  std::vector<const Expr*> items;
  bool is_tuple = false;
  for (;;) {
    if (!items.empty()) expect(",");
    const Token& token = now();
    if (token.kind == TokenKind::kVariableEnd || token.kind == TokenKind::kBlockEnd ||
        token.is_operator(")") || (!end.empty() && token.is_name(end)))
      break;
    items.push_back(expression(condition));
    if (!now().is_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return items[0];
  if (!is_tuple && !parentheses) unexpected("an expression");
  Expr& made = make(ExprKind::kTuple, line);
  made.items = std::move(items);
  return finish(made);
}

const Expr* Parser::list() {
  Expr& made = make(ExprKind::kList, now().line);
  expect("[");
  while (!now().is_operator("]")) {
    if (!made.items.empty()) expect(",");
    if (now().is_operator("]")) break;
    made.items.push_back(expression());
  }
  expect("]");
  return finish(made);
}

const Expr* Parser::dict() {
  Expr& made = make(ExprKind::kDict, now().line);
  expect("{");
  while (!now().is_operator("}")) {
    if (!made.items.empty()) expect(",");
    if (now().is_operator("}")) break;
    made.items.push_back(expression());
    expect(":");
    made.items.push_back(expression());
  }
  expect("}");
  return finish(made);
}

}  // namespace airlock::chat
