// A parsed chat template: statements and expressions, immutable once parsed. Inside the chat room
// only.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "airlock/chat/value.h"

namespace airlock::chat {

struct FilterEntry;
struct TestEntry;
struct Expr;

struct Arguments {
  std::vector<const Expr*> positional;
  std::vector<std::pair<std::string_view, const Expr*>> named;
  const Expr* star = nullptr;       ///< *args
  const Expr* star_star = nullptr;  ///< **kwargs
};

enum class ExprKind : std::uint8_t {
  kConst,        ///< value
  kName,         ///< symbol
  kList,         ///< items
  kTuple,        ///< items
  kDict,         ///< items: key, value, key, value...
  kAttribute,    ///< a.name
  kItem,         ///< a[b]
  kSlice,        ///< items: start, stop, step, each may be null; only inside kItem
  kCall,         ///< a(arguments)
  kFilter,       ///< a|name(arguments)
  kTest,         ///< a is name(arguments)
  kNegative,     ///< -a
  kPositive,     ///< +a
  kNot,          ///< not a
  kAnd,          ///< a and b
  kOr,           ///< a or b
  kBinary,       ///< a name b: + - * / // % **
  kCompare,      ///< a operators[0] items[0] operators[1] items[1]...
  kConcat,       ///< items, by ~
  kConditional,  ///< a if b else items[0], which may be missing
};

enum class Operator : std::uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  Operator op = Operator::kAdd;
  std::uint32_t line = 0;
  std::uint32_t height = 1;  ///< of the tree below, itself included
  std::uint32_t symbol = 0;
  Value value;
  std::string_view name;
  const FilterEntry* filter = nullptr;  ///< null: Jinja's, but not known here
  const TestEntry* test = nullptr;
  const Expr* a = nullptr;
  const Expr* b = nullptr;
  std::vector<const Expr*> items;
  std::vector<Operator> operators;
  Arguments arguments;
};

/// What is assigned to: a name, an attribute of a namespace, or several.
struct Target {
  enum Kind : std::uint8_t { kName, kAttribute, kTuple };
  Kind kind = kName;
  std::uint32_t line = 0;
  std::uint32_t symbol = 0;
  std::string_view attribute;
  std::vector<Target> items;
};

struct Parameter {
  std::string_view name;
  std::uint32_t symbol = 0;
  const Expr* standard = nullptr;  ///< its default
};

enum class StmtKind : std::uint8_t {
  kText,         ///< text
  kOutput,       ///< expressions
  kIf,           ///< branches in turn, then other
  kFor,          ///< target in expressions[0] if expressions[1]: body, other
  kSet,          ///< target = expressions[0]
  kSetBlock,     ///< target = body through expressions[0], a filter of null
  kMacro,        ///< symbol, parameters, body
  kCallBlock,    ///< expressions[0] called with the body as caller
  kFilterBlock,  ///< expressions[0], a filter of null, of the body
  kWith,         ///< targets = expressions: body
  kScope,        ///< body, whose assignments stay inside
  kBreak,
  kContinue,
};

struct Stmt;
using Body = std::vector<const Stmt*>;

struct Stmt {
  StmtKind kind = StmtKind::kText;
  std::uint32_t line = 0;
  std::uint32_t symbol = 0;
  bool recursive = false;
  bool keeps_scope = false;   ///< kFor: a macro in its body may outlive an iteration
  bool takes_caller = false;  ///< kMacro, kCallBlock: mentions `caller`, `kwargs`, `varargs`
  bool takes_kwargs = false;
  bool takes_varargs = false;
  std::string_view text;
  Target target;
  std::vector<Target> targets;
  std::vector<const Expr*> expressions;
  std::vector<Parameter> parameters;
  std::vector<std::pair<const Expr*, Body>> branches;
  Body body, other;
};

/// A template. Owns every node flat, so that no nesting is too deep to free.
struct Program {
  std::deque<std::string> texts;
  std::deque<Expr> expressions;
  std::deque<Stmt> statements;
  std::vector<std::string_view> symbols;  ///< names by number
  std::unordered_map<std::string_view, std::uint32_t> numbers;
  Body body;
};

/// The numbers that each program's first symbols have.
enum Symbol : std::uint32_t { kLoopSymbol, kCallerSymbol, kKwargsSymbol, kVarargsSymbol };

}  // namespace airlock::chat
