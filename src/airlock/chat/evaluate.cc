#include <algorithm>

#include "airlock/chat/evaluator.h"
#include "airlock/chat/filters.h"
#include "airlock/chat/tests.h"

namespace airlock::chat {

const Value* CallArgs::find(std::string_view name) const {
  for (const auto& [key, value] : named)
    if (key == name) return &value;
  return nullptr;
}

Params::Params(std::string_view function, const CallArgs& args,
               std::initializer_list<std::string_view> names, std::size_t required,
               bool positional_only)
    : function_(function), values_(names.size()) {
  if (args.positional.size() > names.size())
    refuse("`{}` takes at most {} arguments, not {}", function, names.size(),
           args.positional.size());
  for (std::size_t i = 0; i < args.positional.size(); ++i) values_[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    const auto* const found = std::find(names.begin(), names.end(), name);
    if (found == names.end() || positional_only)
      refuse("`{}` takes no argument `{}`", function, name);
    const Value*& slot = values_[static_cast<std::size_t>(found - names.begin())];
    if (slot != nullptr) refuse("`{}` is given the argument `{}` twice", function, name);
    slot = &value;
  }
  for (std::size_t i = 0; i < required; ++i)
    if (values_[i] == nullptr)
      refuse("`{}` wants the argument `{}`", function, *(names.begin() + i));
}

std::int64_t Params::whole(std::size_t i, std::int64_t standard) const {
  if (values_[i] == nullptr) return standard;
  if (!values_[i]->is_int())
    refuse("`{}` wants an int, not a value of type {}", function_, type_name(*values_[i]));
  return values_[i]->as_int();
}

std::optional<std::int64_t> Params::whole(std::size_t i) const {
  if (values_[i] == nullptr || values_[i]->is(Kind::kNone)) return std::nullopt;
  return whole(i, 0);
}

std::string_view Params::text(std::size_t i, std::string_view standard) const {
  if (values_[i] == nullptr) return standard;
  if (!values_[i]->is(Kind::kString))
    refuse("`{}` wants a string, not a value of type {}", function_, type_name(*values_[i]));
  return values_[i]->text();
}

Value Evaluator::eval(const Expr& expr, Scope& scope) {
  heap_.step();
  if (expr.kind == ExprKind::kConst) return expr.value;
  if (expr.kind == ExprKind::kName) return eval_name(expr, scope);
  const Heap::Deeper deeper(heap_);
  return eval_below(expr, scope);
}

Value Evaluator::eval_below(const Expr& expr, Scope& scope) {
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.value;
    case ExprKind::kName:
      return eval_name(expr, scope);
    case ExprKind::kList:
      return heap_.sequence(Kind::kList, eval_all(expr.items, scope));
    case ExprKind::kTuple:
      return heap_.sequence(Kind::kTuple, eval_all(expr.items, scope));
    case ExprKind::kDict:
      return eval_dict(expr, scope);
    case ExprKind::kAttribute:
      return attribute(eval(*expr.a, scope), expr.name);
    case ExprKind::kItem:
      return eval_item(expr, scope);
    case ExprKind::kSlice:
      refuse("a slice outside of a subscript");
    case ExprKind::kCall:
      return eval_call(expr, scope, nullptr);
    case ExprKind::kFilter:
      return eval_filter(expr, scope, nullptr);
    case ExprKind::kTest: {
      const Value input = eval(*expr.a, scope);
      if (expr.test == nullptr) refuse("there is no test `{}`", expr.name);
      return boolean(expr.test->function(*this, input, eval_arguments(expr.arguments, scope)));
    }
    case ExprKind::kNegative:
      return negated(eval(*expr.a, scope));
    case ExprKind::kPositive: {
      const Value value = eval(*expr.a, scope);
      require_defined(value);
      if (!value.is_number())
        refuse("unary + wants a number, not a value of type {}", type_name(value));
      return value.is(Kind::kBool) ? integer(value.as_int()) : value;
    }
    case ExprKind::kNot:
      return boolean(!truth_of(eval(*expr.a, scope)));
    case ExprKind::kAnd: {
      const Value left = eval(*expr.a, scope);
      return truth_of(left) ? eval(*expr.b, scope) : left;
    }
    case ExprKind::kOr: {
      const Value left = eval(*expr.a, scope);
      return truth_of(left) ? left : eval(*expr.b, scope);
    }
    case ExprKind::kBinary: {
      const Value left = eval(*expr.a, scope);
      return arithmetic(heap_, expr.op, left, eval(*expr.b, scope));
    }
    case ExprKind::kCompare:
      return eval_compare(expr, scope);
    case ExprKind::kConcat: {
      TextBuilder text(heap_);
      for (const Expr* item : expr.items) add_str(text, eval(*item, scope));
      return text.value();
    }
    case ExprKind::kConditional:
      if (truth_of(eval(*expr.b, scope))) return eval(*expr.a, scope);
      if (expr.items[0] != nullptr) return eval(*expr.items[0], scope);
      return undefined("the inline `if` was false and there is no `else`");
  }
  return none();
}

Value Evaluator::eval_name(const Expr& expr, Scope& scope) {
  for (Scope* at = &scope; at != nullptr; at = at->parent) {
    heap_.step(1 + at->names.size() / 16);
    for (const auto& [name, value] : at->names)
      if (name == expr.symbol) return value;
  }
  if (const auto& global = globals_[expr.symbol]) return *global;
  return undefined(
      heap_.text(fmt::format("'{}' is undefined", program_.symbols[expr.symbol])).text());
}

Value Evaluator::eval_dict(const Expr& expr, Scope& scope) {
  Dict* const dict = heap_.make<Dict>();
  for (std::size_t i = 0; i + 1 < expr.items.size(); i += 2) {
    const Value key = eval(*expr.items[i], scope);
    dict->set(heap_, key, eval(*expr.items[i + 1], scope));
  }
  return dict_value(dict);
}

Value Evaluator::eval_item(const Expr& expr, Scope& scope) {
  const Value object = eval(*expr.a, scope);
  if (expr.b->kind != ExprKind::kSlice) return item(object, eval(*expr.b, scope));
  Value bounds[3];
  const Value* given[3] = {};
  for (std::size_t i = 0; i < 3; ++i) {
    if (expr.b->items[i] == nullptr) continue;
    bounds[i] = eval(*expr.b->items[i], scope);
    given[i] = &bounds[i];
  }
  return slice(object, given[0], given[1], given[2]);
}

std::vector<Value> Evaluator::eval_all(const std::vector<const Expr*>& exprs, Scope& scope) {
  std::vector<Value> values;
  values.reserve(exprs.size());
  for (const Expr* expr : exprs) values.push_back(eval(*expr, scope));
  return values;
}

CallArgs Evaluator::eval_arguments(const Arguments& arguments, Scope& scope) {
  CallArgs args{eval_all(arguments.positional, scope), {}};
  for (const auto& [name, expr] : arguments.named)
    args.named.emplace_back(name, eval(*expr, scope));
  if (arguments.star != nullptr) {
    const std::vector<Value> more = items_of(heap_, eval(*arguments.star, scope));
    args.positional.insert(args.positional.end(), more.begin(), more.end());
  }
  if (arguments.star_star != nullptr) {
    const Value more = eval(*arguments.star_star, scope);
    if (!more.is(Kind::kDict)) refuse("** wants a dict, not a value of type {}", type_name(more));
    for (const auto& [key, value] : more.as<Dict>().entries) {
      if (!key.is(Kind::kString)) refuse("** wants a dict whose keys are strings");
      if (args.find(key.text()) != nullptr) refuse("an argument is given twice, by name and by **");
      heap_.charge(sizeof(args.named[0]));
      heap_.step(args.named.size() / 8);
      args.named.emplace_back(key.text(), value);
    }
  }
  return args;
}

Value Evaluator::eval_filter(const Expr& expr, Scope& scope, const Value* input) {
  Value value;
  if (expr.a != nullptr) {
    // A chain of filters over a block's text begins with the text.
    value = input != nullptr ? eval_filter(*expr.a, scope, input) : eval(*expr.a, scope);
  } else if (input != nullptr) {
    value = *input;
  }
  if (expr.filter == nullptr) refuse("there is no filter `{}`", expr.name);
  return expr.filter->function(*this, value, eval_arguments(expr.arguments, scope));
}

Value Evaluator::eval_call(const Expr& expr, Scope& scope, const Value* caller) {
  const Value callee = eval(*expr.a, scope);
  CallArgs args = eval_arguments(expr.arguments, scope);
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  return call(callee, args);
}

Value Evaluator::call(const Value& callee, const CallArgs& args) {
  const Heap::Deeper deeper(heap_);
  require_defined(callee);
  switch (callee.kind) {
    case Kind::kMacro:
      return call_macro(callee.as<Macro>(), args);
    case Kind::kLoop:
      return call_loop(callee.as<Loop>(), args);
    case Kind::kFunction: {
      const auto& function = callee.as<Function>();
      return function.call(*this, function.self, args);
    }
    default:
      refuse("a value of type {} cannot be called", type_name(callee));
  }
}

Value Evaluator::eval_compare(const Expr& expr, Scope& scope) {
  Value left = eval(*expr.a, scope);
  for (std::size_t i = 0; i < expr.items.size(); ++i) {
    const Value right = eval(*expr.items[i], scope);
    if (!compare_by(expr.operators[i], left, right)) return boolean(false);
    left = right;
  }
  return boolean(true);
}

bool Evaluator::compare_by(Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::kEqual:
      return equal(heap_, a, b);
    case Operator::kNotEqual:
      return !equal(heap_, a, b);
    case Operator::kIn:
      return contains(heap_, b, a);
    case Operator::kNotIn:
      return !contains(heap_, b, a);
    default:
      return in_order(heap_, op, a, b);
  }
}

Value Evaluator::apply_filter(const Value& name, const Value& input, const CallArgs& args) {
  const FilterEntry* const filter = name.is(Kind::kString) ? find_filter(name.text()) : nullptr;
  if (filter == nullptr) refuse("there is no filter of that name");
  return filter->function(*this, input, args);
}

bool Evaluator::apply_test(const Value& name, const Value& input, const CallArgs& args) {
  const TestEntry* const test = name.is(Kind::kString) ? find_test(name.text()) : nullptr;
  if (test == nullptr) refuse("there is no test of that name");
  return test->function(*this, input, args);
}

}  // namespace airlock::chat
