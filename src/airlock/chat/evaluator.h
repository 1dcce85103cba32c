// One rendering: a Program walked over values, every step counted. Inside the chat room only.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "airlock/chat/ast.h"
#include "airlock/chat/value.h"

namespace airlock::chat {

class Evaluator;

/// Arguments of a call, evaluated.
struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;

  [[nodiscard]] const Value* find(std::string_view name) const;
};

/// Arguments matched to a function's parameters, as Python matches them. Throws
/// Error(kInvalidArgument) for too few, too many, unknown or double ones.
class Params {
 public:
  Params(std::string_view function, const CallArgs& args,
         std::initializer_list<std::string_view> names, std::size_t required = 0,
         bool positional_only = false);
  [[nodiscard]] const Value* get(std::size_t i) const { return values_[i]; }
  [[nodiscard]] const Value& operator[](std::size_t i) const { return *values_[i]; }
  [[nodiscard]] bool truth(std::size_t i, bool standard = false) const {
    return get(i) == nullptr ? standard : truth_of(*get(i));
  }
  /// An int, `standard` if absent. Throws Error(kInvalidArgument) for another type.
  [[nodiscard]] std::int64_t whole(std::size_t i, std::int64_t standard) const;
  /// As whole; None counts as absent.
  [[nodiscard]] std::optional<std::int64_t> whole(std::size_t i) const;
  /// A string, `standard` if absent. Throws Error(kInvalidArgument) for another type.
  [[nodiscard]] std::string_view text(std::size_t i, std::string_view standard) const;

 private:
  std::string_view function_;
  std::vector<const Value*> values_;
};

struct Scope : Object {
  Scope* parent = nullptr;
  std::vector<std::pair<std::uint32_t, Value>> names;

  void set(Heap& heap, std::uint32_t symbol, const Value& value);
};

struct Macro : Object {
  const Stmt* stmt = nullptr;
  Scope* scope = nullptr;  ///< where it was defined
  [[nodiscard]] std::string_view name() const { return stmt->text; }
};

using FunctionPointer = Value (*)(Evaluator&, const Value& self, const CallArgs&);
/// A global function, or a method bound to `self`. Null: one that the sandbox forbids to call.
struct Function : Object {
  FunctionPointer call = nullptr;
  Value self;
  std::string_view name;
};

struct Loop : Object {
  const Stmt* stmt = nullptr;
  Scope* scope = nullptr;
  Iterator* items = nullptr;
  std::optional<std::int64_t> length;  ///< where known without going through the rest
  std::int64_t index0 = -1;
  std::uint32_t depth0 = 0;
  std::optional<Value> before, current, next;
  std::optional<Value> changed;

  bool advance(Value& out);
  /// The next item, if there is one.
  const std::optional<Value>& peek();
};

class Evaluator {
 public:
  Evaluator(const Program& program, Heap& heap, std::tm now);

  /// Makes `value` known by `name` before rendering.
  void define(std::string_view name, const Value& value);
  /// The rendered text. Throws Error: kInvalidArgument with the line, kResourceExhausted;
  /// ChatRefusal.
  std::string render();

  [[nodiscard]] Heap& heap() noexcept { return heap_; }
  [[nodiscard]] const std::tm& now() const noexcept { return now_; }

  Value call(const Value& callee, const CallArgs& args);
  /// Filter or test `name`, as `|map` and `|select` name them.
  Value apply_filter(const Value& name, const Value& input, const CallArgs& args);
  bool apply_test(const Value& name, const Value& input, const CallArgs& args);

  // ---- attributes.cc ----
  /// a.name: attributes first, then items.
  Value attribute(const Value& object, std::string_view name);
  /// a[key]: items first, then attributes.
  Value item(const Value& object, const Value& key);
  Value slice(const Value& object, const Value* start, const Value* stop, const Value* step);
  /// The attribute if `object` has one of that name; not an item.
  std::optional<Value> find_attribute(const Value& object, std::string_view name);
  Value bind(FunctionPointer function, const Value& self, std::string_view name);

 private:
  enum class Flow : std::uint8_t { kNormal, kBreak, kContinue };

  // evaluator.cc: statements
  Flow run(const Body& body, Scope& scope);
  Flow run(const Stmt& stmt, Scope& scope);
  Flow run_loop(const Stmt& stmt, Scope& scope, const Value& items, std::uint32_t depth0);
  void run_macro(const Stmt& stmt, Scope& scope);
  void run_call_block(const Stmt& stmt, Scope& scope);
  void assign(const Target& target, Scope& scope, const Value& value);
  /// What `body` writes in a scope of its own, as a string.
  Value captured(const Body& body, Scope& outer, Flow& flow);
  void write(std::string_view text);
  void write(const Value& value);
  Scope* scope_in(Scope* parent);
  Value call_macro(const Macro& macro, const CallArgs& args);
  Value call_loop(Loop& loop, const CallArgs& args);

  // evaluate.cc: expressions
  Value eval(const Expr& expr, Scope& scope);
  Value eval_below(const Expr& expr, Scope& scope);
  Value eval_name(const Expr& expr, Scope& scope);
  Value eval_item(const Expr& expr, Scope& scope);
  Value eval_dict(const Expr& expr, Scope& scope);
  Value eval_filter(const Expr& expr, Scope& scope, const Value* input);
  Value eval_compare(const Expr& expr, Scope& scope);
  Value eval_call(const Expr& expr, Scope& scope, const Value* caller);
  bool compare_by(Operator op, const Value& a, const Value& b);
  std::vector<Value> eval_all(const std::vector<const Expr*>& exprs, Scope& scope);
  CallArgs eval_arguments(const Arguments& arguments, Scope& scope);
  const Program& program_;
  Heap& heap_;
  std::tm now_;
  std::vector<std::optional<Value>> globals_;  ///< by symbol
  std::string* out_ = nullptr;                 ///< where text goes: the output or a capture
  std::string output_;
};

/// Throws Error(kInvalidArgument) with why `value`, if undefined, is.
void require_defined(const Value& value);

// ---- arithmetic.cc ----
Value arithmetic(Heap& heap, Operator op, const Value& a, const Value& b);
Value negated(const Value& value);
/// a < b, <=, > or >=, as `op` says.
bool in_order(Heap& heap, Operator op, const Value& a, const Value& b);
/// a + b for 64-bit ints; throws Error(kInvalidArgument) on overflow, as the others do.
std::int64_t checked_add(std::int64_t a, std::int64_t b);
std::int64_t checked_multiply(std::int64_t a, std::int64_t b);

// ---- percent_format.cc, brace_format.cc ----
/// Python's format % arguments.
Value percent_format(Heap& heap, std::string_view format, const Value& arguments);
/// Python's format.format(...).
Value brace_format(Evaluator& evaluator, std::string_view format, const CallArgs& args);

// ---- globals.cc ----
/// A global function or value of Jinja's or transformers', if `name` is one.
std::optional<Value> find_global(Evaluator& evaluator, std::string_view name);

// ---- string_methods.cc, container_methods.cc ----
FunctionPointer find_string_method(std::string_view name);
FunctionPointer find_dict_method(std::string_view name);
FunctionPointer find_list_method(std::string_view name);

}  // namespace airlock::chat
