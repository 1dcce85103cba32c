// Tokens to a Program, by Jinja's grammar. Inside the chat room only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "airlock/chat/ast.h"
#include "airlock/chat/lexer.h"
#include "airlock/core/error.h"

namespace airlock::chat {

/// Reads one template; used once.
class Parser {
 public:
  explicit Parser(std::string_view source);
  /// Throws Error(kInvalidArgument) with the line and what was expected.
  Program parse();

 private:
  enum Condition : bool { kWithoutCondition, kWithCondition };

  /// Counts a level of nesting for as long as it lives.
  struct Nest {
    explicit Nest(Parser& parser);
    ~Nest() { --parser.nested_; }
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;
    Parser& parser;
  };

  // parser.cc: statements
  Body body_until(std::initializer_list<std::string_view> ends);
  Body inner_body(std::initializer_list<std::string_view> ends);
  Body function_body(Stmt& stmt, std::initializer_list<std::string_view> ends);
  void end_tag(std::string_view name);
  const Stmt* statement();
  void parse_if(Stmt& stmt);
  void parse_for(Stmt& stmt);
  void parse_set(Stmt& stmt);
  void parse_with(Stmt& stmt);
  void parse_signature(Stmt& stmt);
  void parse_macro(Stmt& stmt);
  void parse_call_block(Stmt& stmt);
  void parse_print(Stmt& stmt);
  Target target(bool attributes, std::string_view end);
  Target single_target(bool attributes);

  // parse_expression.cc
  const Expr* expression(Condition condition = kWithCondition);
  const Expr* conditional();
  const Expr* disjunction();
  const Expr* conjunction();
  const Expr* negation();
  const Expr* comparison();
  const Expr* sum();
  const Expr* concatenation();
  const Expr* product();
  const Expr* power();
  const Expr* unary(bool with_filter = true);
  const Expr* primary();
  const Expr* list();
  const Expr* dict();
  /// Expressions with commas between are a tuple; `end` is a name that ends it too.
  const Expr* tuple(Condition condition, std::string_view end = {}, bool parentheses = false);

  // parse_postfix.cc
  const Expr* postfix(const Expr* expr);
  const Expr* filters_and_tests(const Expr* expr);
  const Expr* filter(const Expr* expr);
  const Expr* test(const Expr* expr);
  const Expr* subscript(const Expr* expr);
  const Expr* subscribed();
  const Expr* call(const Expr* callee);
  Arguments call_arguments();
  std::string_view dotted_name();

  [[nodiscard]] const Token& now() const { return tokens_[at_]; }
  [[nodiscard]] const Token& after() const {
    return tokens_[std::min(at_ + 1, tokens_.size() - 1)];
  }
  const Token& take() {
    const Token& token = now();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip_name(std::string_view name);
  bool skip(std::string_view op);
  void expect(std::string_view op);
  void expect(TokenKind kind);
  const Token& expect_name();
  template <typename... Args>
  [[noreturn]] void bad(std::uint32_t line, fmt::format_string<Args...> format,
                        Args&&... args) const {
    fail(ErrorCode::kInvalidArgument, "chat template, line {}: {}", line,
         fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void unexpected(std::string_view expected) const;

  std::uint32_t symbol(std::string_view name);
  std::string_view keep(std::string_view text);
  Expr& make(ExprKind kind, std::uint32_t line);
  const Expr* finish(Expr& expr);
  const Expr* binary(ExprKind kind, Operator op, const Expr* a, const Expr* b, std::uint32_t line);
  void note_unknown(std::string_view kind, std::string_view name, std::uint32_t line);

  Program program_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::uint32_t nested_ = 0;
  std::uint32_t loops_ = 0;  ///< around the statement, in its own function
  bool mentions_[4] = {};    ///< by Symbol: in the macro being read
  bool has_macro_ = false;   ///< since the innermost loop began
  /// Filters and tests that do not exist: an error at once, unless an `if` may never reach them.
  std::vector<std::string> unknown_, surely_unknown_;
};

/// Largest template that is read.
inline constexpr std::size_t kMaxTemplateBytes = 1 << 20;
/// Most arguments that a call writes, or a macro names.
inline constexpr std::size_t kMaxArguments = 1000;

}  // namespace airlock::chat
