#include "airlock/chat/evaluator.h"

#include <algorithm>
#include <functional>

#include "airlock/chat/template.h"

namespace airlock::chat {
namespace {

/// The items of a loop that pass its `if`.
struct FilteredItems : Iterator {
  std::function<bool(const Value&)> passes;
  Iterator* items = nullptr;
  bool next(Value& out) override {
    while (items->next(out))
      if (passes(out)) return true;
    return false;
  }
};

std::string with_line(std::uint32_t line, const char* what) {
  return fmt::format("chat template, line {}: {}", line, what);
}

/// An error that says its line already.
class LocatedError : public Error {
 public:
  using Error::Error;
};

}  // namespace

void require_defined(const Value& value) {
  if (value.is(Kind::kUndefined)) refuse("{}", value.text());
}

void Scope::set(Heap& heap, std::uint32_t symbol, const Value& value) {
  heap.step(names.size() / 16);
  for (auto& [name, old] : names) {
    if (name == symbol) {
      old = value;
      return;
    }
  }
  heap.charge(sizeof(names[0]));
  names.emplace_back(symbol, value);
}

bool Loop::advance(Value& out) {
  if (next) {
    out = *next;
    next.reset();
  } else if (!items->next(out)) {
    return false;
  }
  ++index0;
  before = current;
  current = out;
  return true;
}

const std::optional<Value>& Loop::peek() {
  Value item;
  if (!next && items->next(item)) next = item;
  return next;
}

Evaluator::Evaluator(const Program& program, Heap& heap, std::tm now)
    : program_(program), heap_(heap), now_(now), globals_(program.symbols.size()) {
  for (std::size_t i = 0; i < globals_.size(); ++i)
    globals_[i] = find_global(*this, program.symbols[i]);
}

void Evaluator::define(std::string_view name, const Value& value) {
  const auto found = program_.numbers.find(name);
  if (found != program_.numbers.end()) globals_[found->second] = value;
}

std::string Evaluator::render() {
  out_ = &output_;
  run(program_.body, *scope_in(nullptr));
  return std::move(output_);
}

Scope* Evaluator::scope_in(Scope* parent) {
  Scope* const scope = heap_.make<Scope>();
  scope->parent = parent;
  return scope;
}

void Evaluator::write(std::string_view text) {
  if (out_ == &output_) {
    heap_.step(text.size() / 64);
    require(text.size() <= heap_.limits().output_bytes - output_.size(),
            ErrorCode::kResourceExhausted, "the chat template writes more than {} bytes",
            heap_.limits().output_bytes);
  } else {
    heap_.charge(text.size());
  }
  *out_ += text;
}

void Evaluator::write(const Value& value) {
  write(str_of(heap_, value).text());
}

Value Evaluator::captured(const Body& body, Scope& outer, Flow& flow) {
  std::string text;
  std::string* const before = std::exchange(out_, &text);
  flow = run(body, *scope_in(&outer));
  out_ = before;
  return heap_.adopt(std::move(text));
}

Evaluator::Flow Evaluator::run(const Body& body, Scope& scope) {
  for (const Stmt* stmt : body) {
    heap_.step();
    if (stmt->kind == StmtKind::kText) {
      write(stmt->text);
      continue;
    }
    const Flow flow = [&] {
      try {
        return run(*stmt, scope);
      } catch (const LocatedError&) {
        throw;
      } catch (const ChatRefusal&) {
        throw;
      } catch (const Error& error) {
        throw LocatedError(error.code(), with_line(stmt->line, error.what()));
      }
    }();
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Evaluator::Flow Evaluator::run(const Stmt& stmt, Scope& scope) {
  const Heap::Deeper deeper(heap_);
  Flow flow = Flow::kNormal;
  switch (stmt.kind) {
    case StmtKind::kText:
      write(stmt.text);
      break;
    case StmtKind::kOutput:
      for (const Expr* expr : stmt.expressions) write(eval(*expr, scope));
      break;
    case StmtKind::kIf:
      for (const auto& [condition, body] : stmt.branches)
        if (truth_of(eval(*condition, scope))) return run(body, scope);
      return run(stmt.other, scope);
    case StmtKind::kFor:
      return run_loop(stmt, scope, eval(*stmt.expressions[0], scope), 0);
    case StmtKind::kSet:
      assign(stmt.target, scope, eval(*stmt.expressions[0], scope));
      break;
    case StmtKind::kSetBlock:
    case StmtKind::kFilterBlock: {
      Value text = captured(stmt.body, scope, flow);
      if (flow != Flow::kNormal) break;
      if (stmt.expressions[0] != nullptr) text = eval_filter(*stmt.expressions[0], scope, &text);
      if (stmt.kind == StmtKind::kSetBlock) {
        assign(stmt.target, scope, text);
      } else {
        write(text);
      }
      break;
    }
    case StmtKind::kMacro:
      run_macro(stmt, scope);
      break;
    case StmtKind::kCallBlock:
      run_call_block(stmt, scope);
      break;
    case StmtKind::kWith: {
      Scope* const inner = scope_in(&scope);
      for (std::size_t i = 0; i < stmt.targets.size(); ++i)
        assign(stmt.targets[i], *inner, eval(*stmt.expressions[i], scope));
      return run(stmt.body, *inner);
    }
    case StmtKind::kScope:
      return run(stmt.body, *scope_in(&scope));
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return flow;
}

Evaluator::Flow Evaluator::run_loop(const Stmt& stmt, Scope& scope, const Value& items,
                                    std::uint32_t depth0) {
  Loop* const loop = heap_.make<Loop>();
  loop->stmt = &stmt;
  loop->scope = &scope;
  loop->depth0 = depth0;
  loop->items = iterate(heap_, items);
  if (const Expr* const condition = stmt.expressions[1]; condition != nullptr) {
    auto* const filtered = heap_.make<FilteredItems>();
    filtered->items = loop->items;
    filtered->passes = [this, &stmt, &scope, condition](const Value& item) {
      Scope* const inner = scope_in(&scope);
      assign(stmt.target, *inner, item);
      return truth_of(eval(*condition, *inner));
    };
    loop->items = filtered;
  } else if (!items.is(Kind::kIterator)) {
    loop->length = length_of(items);
  }
  const Value self = object_value(Kind::kLoop, loop);
  Scope* inner = nullptr;
  bool any = false;
  for (Value item; loop->advance(item);) {
    heap_.step();
    if (inner == nullptr || stmt.keeps_scope) inner = scope_in(&scope);
    inner->names.clear();
    inner->set(heap_, kLoopSymbol, self);
    assign(stmt.target, *inner, item);
    any = true;
    if (run(stmt.body, *inner) == Flow::kBreak) break;
  }
  return any ? Flow::kNormal : run(stmt.other, *scope_in(&scope));
}

void Evaluator::assign(const Target& target, Scope& scope, const Value& value) {
  if (target.kind == Target::kName) {
    scope.set(heap_, target.symbol, value);
    return;
  }
  if (target.kind == Target::kAttribute) {
    const Value* found = nullptr;
    for (Scope* at = &scope; at != nullptr && found == nullptr; at = at->parent)
      for (const auto& [name, bound] : at->names)
        if (name == target.symbol) found = &bound;
    if (found == nullptr || !found->is(Kind::kNamespace))
      refuse("cannot assign an attribute: `{}` is no namespace", program_.symbols[target.symbol]);
    if (target.attribute.starts_with('_'))
      refuse("a namespace cannot have the attribute `{}`: it begins with an underscore",
             target.attribute);
    found->as<Namespace>().attributes->set(heap_, view_of(target.attribute), value);
    return;
  }
  const std::vector<Value> items = items_of(heap_, value);
  if (items.size() != target.items.size())
    refuse("cannot unpack {} values into {} names", items.size(), target.items.size());
  for (std::size_t i = 0; i < items.size(); ++i) assign(target.items[i], scope, items[i]);
}

void Evaluator::run_macro(const Stmt& stmt, Scope& scope) {
  Macro* const macro = heap_.make<Macro>();
  macro->stmt = &stmt;
  macro->scope = &scope;
  scope.set(heap_, stmt.symbol, object_value(Kind::kMacro, macro));
}

void Evaluator::run_call_block(const Stmt& stmt, Scope& scope) {
  Macro* const macro = heap_.make<Macro>();
  macro->stmt = &stmt;
  macro->scope = &scope;
  const Value caller = object_value(Kind::kMacro, macro);
  write(eval_call(*stmt.expressions[0], scope, &caller));
}

Value Evaluator::call_macro(const Macro& macro, const CallArgs& args) {
  const Stmt& stmt = *macro.stmt;
  Scope* const scope = scope_in(macro.scope);
  const auto& parameters = stmt.parameters;
  std::vector<bool> used(args.named.size());
  const auto named = [&](std::string_view name) -> const Value* {
    heap_.step(args.named.size() / 16);
    for (std::size_t i = 0; i < args.named.size(); ++i) {
      if (args.named[i].first != name || used[i]) continue;
      used[i] = true;
      return &args.named[i].second;
    }
    return nullptr;
  };
  std::vector<const Value*> given(parameters.size());
  bool has_caller = false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    has_caller = has_caller || parameters[i].symbol == kCallerSymbol;
    given[i] = i < args.positional.size() ? &args.positional[i] : named(parameters[i].name);
  }
  if (stmt.takes_caller && !has_caller) {
    const Value* const caller = named("caller");
    scope->set(heap_, kCallerSymbol, caller != nullptr ? *caller : undefined("No caller defined"));
  }
  if (stmt.takes_kwargs) {
    Dict* const rest = heap_.make<Dict>();
    for (std::size_t i = 0; i < used.size(); ++i)
      if (!used[i]) rest->set(heap_, heap_.text(args.named[i].first), args.named[i].second);
    scope->set(heap_, kKwargsSymbol, dict_value(rest));
  } else if (const auto extra = std::find(used.begin(), used.end(), false); extra != used.end()) {
    refuse("the macro `{}` takes no argument `{}`", macro.name(),
           args.named[static_cast<std::size_t>(extra - used.begin())].first);
  }
  const std::size_t taken = std::min(parameters.size(), args.positional.size());
  if (stmt.takes_varargs) {
    const auto rest = args.positional.begin() + static_cast<std::ptrdiff_t>(taken);
    scope->set(heap_, kVarargsSymbol,
               heap_.sequence(Kind::kTuple, std::vector<Value>(rest, args.positional.end())));
  } else if (args.positional.size() > taken) {
    refuse("the macro `{}` takes at most {} arguments, not {}", macro.name(), taken,
           args.positional.size());
  }
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (given[i] != nullptr) scope->set(heap_, parameters[i].symbol, *given[i]);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (given[i] != nullptr) continue;
    const Expr* const standard = parameters[i].standard;
    scope->set(heap_, parameters[i].symbol,
               standard != nullptr ? eval(*standard, *scope)
                                   : undefined("a parameter of the macro was not provided"));
  }
  Flow flow = Flow::kNormal;
  return captured(stmt.body, *scope, flow);
}

Value Evaluator::call_loop(Loop& loop, const CallArgs& args) {
  const Params params("loop", args, {"iterable"}, 1);
  if (!loop.stmt->recursive) refuse("`loop` can be called only in a loop that is `recursive`");
  std::string text;
  std::string* const before = std::exchange(out_, &text);
  run_loop(*loop.stmt, *loop.scope, params[0], loop.depth0 + 1);
  out_ = before;
  return heap_.adopt(std::move(text));
}

}  // namespace airlock::chat
