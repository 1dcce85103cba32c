#include "airlock/chat/filters.h"
#include "airlock/chat/parser.h"
#include "airlock/chat/tests.h"

namespace airlock::chat {

const Expr* Parser::postfix(const Expr* expr) {
  for (;;) {
    if (now().is_operator(".") || now().is_operator("[")) {
      expr = subscript(expr);
    } else if (now().is_operator("(")) {
      expr = call(expr);
    } else {
      return expr;
    }
  }
}

const Expr* Parser::filters_and_tests(const Expr* expr) {
  for (;;) {
    if (skip("|")) {
      expr = filter(expr);
    } else if (skip_name("is")) {
      expr = test(expr);
    } else if (now().is_operator("(")) {
      expr = call(expr);
    } else {
      return expr;
    }
  }
}

const Expr* Parser::call(const Expr* callee) {
  Expr& made = make(ExprKind::kCall, now().line);
  made.a = callee;
  made.arguments = call_arguments();
  return finish(made);
}

const Expr* Parser::subscript(const Expr* expr) {
  const std::uint32_t line = now().line;
  if (skip(".")) {
    if (now().kind == TokenKind::kInteger) {
      Expr& index = make(ExprKind::kConst, line);
      index.value = integer(take().integer);
      return binary(ExprKind::kItem, {}, expr, &index, line);
    }
    Expr& made = make(ExprKind::kAttribute, line);
    made.a = expr;
    made.name = keep(expect_name().text);
    return finish(made);
  }
  expect("[");
  std::vector<const Expr*> items;
  while (!now().is_operator("]")) {
    if (!items.empty()) expect(",");
    items.push_back(subscribed());
  }
  expect("]");
  if (items.size() == 1) return binary(ExprKind::kItem, {}, expr, items[0], line);
  Expr& index = make(ExprKind::kTuple, line);
  index.items = std::move(items);
  return binary(ExprKind::kItem, {}, expr, finish(index), line);
}

const Expr* Parser::subscribed() {
  const std::uint32_t line = now().line;
  const auto ends = [this] {
    return now().is_operator(":") || now().is_operator("]") || now().is_operator(",");
  };
  const Expr* start = now().is_operator(":") ? nullptr : expression();
  if (!skip(":")) return start;
  Expr& made = make(ExprKind::kSlice, line);
  made.items = {start, ends() ? nullptr : expression(), nullptr};
  if (skip(":") && !ends()) made.items[2] = expression();
  return finish(made);
}

Arguments Parser::call_arguments() {
  Arguments arguments;
  const std::uint32_t line = now().line;
  const auto ensure = [&](bool ok) {
    if (!ok) bad(line, "the arguments of a call are out of order, expected f(a, *b, c=d, **e)");
  };
  expect("(");
  for (std::size_t count = 0; !now().is_operator(")"); ++count) {
    if (count > kMaxArguments) bad(line, "a call with more than {} arguments", kMaxArguments);
    if (count != 0) {
      expect(",");
      if (now().is_operator(")")) break;
    }
    if (skip("*")) {
      ensure(arguments.star == nullptr && arguments.star_star == nullptr);
      arguments.star = expression();
    } else if (skip("**")) {
      ensure(arguments.star_star == nullptr);
      arguments.star_star = expression();
    } else if (now().kind == TokenKind::kName && after().is_operator("=")) {
      ensure(arguments.star_star == nullptr);
      const std::string_view name = keep(take().text);
      take();
      for (const auto& [other, value] : arguments.named)
        if (other == name) bad(line, "the argument `{}` is given twice", name);
      arguments.named.emplace_back(name, expression());
    } else {
      ensure(arguments.star == nullptr && arguments.star_star == nullptr &&
             arguments.named.empty());
      arguments.positional.push_back(expression());
    }
  }
  expect(")");
  return arguments;
}

std::string_view Parser::dotted_name() {
  std::string name = expect_name().text;
  while (skip(".")) name += "." + expect_name().text;
  return keep(name);
}

const Expr* Parser::filter(const Expr* expr) {
  for (bool again = true; again; again = skip("|")) {
    Expr& made = make(ExprKind::kFilter, now().line);
    made.a = expr;
    made.name = dotted_name();
    made.filter = find_filter(made.name);
    if (made.filter == nullptr) note_unknown("filter", made.name, made.line);
    if (now().is_operator("(")) made.arguments = call_arguments();
    expr = finish(made);
  }
  return expr;
}

const Expr* Parser::test(const Expr* expr) {
  const std::uint32_t line = now().line;
  const bool negated = skip_name("not");
  Expr& made = make(ExprKind::kTest, line);
  made.a = expr;
  made.name = dotted_name();
  made.test = find_test(made.name);
  if (made.test == nullptr) note_unknown("test", made.name, line);
  const Token& token = now();
  if (token.is_operator("(")) {
    made.arguments = call_arguments();
  } else if ((token.kind == TokenKind::kName && !token.is_name("else") && !token.is_name("or") &&
              !token.is_name("and")) ||
             token.kind == TokenKind::kString || token.kind == TokenKind::kInteger ||
             token.kind == TokenKind::kFloat || token.is_operator("[") || token.is_operator("{")) {
    if (token.is_name("is")) bad(token.line, "tests cannot be chained with `is`");
    made.arguments.positional = {postfix(primary())};
  }
  const Expr* tested = finish(made);
  return negated ? binary(ExprKind::kNot, {}, tested, nullptr, line) : tested;
}

}  // namespace airlock::chat
