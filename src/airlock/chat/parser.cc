#include "airlock/chat/parser.h"

#include <algorithm>
#include <array>

#include "airlock/core/utf8.h"

namespace airlock::chat {
namespace {

constexpr std::uint32_t kMaxNesting = 300;

constexpr std::array<std::string_view, 7> kOtherFiles = {"block", "extends",    "include", "import",
                                                         "from",  "autoescape", "do"};

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "text";
    case TokenKind::kVariableBegin:
      return "`{{`";
    case TokenKind::kVariableEnd:
      return "`}}`";
    case TokenKind::kBlockBegin:
      return "`{%`";
    case TokenKind::kBlockEnd:
      return "`%}`";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return "a number";
    case TokenKind::kName:
    case TokenKind::kOperator:
      return fmt::format("`{}`", token.text);
    case TokenKind::kEnd:
      break;
  }
  return "the end of the template";
}

}  // namespace

Parser::Nest::Nest(Parser& p) : parser(p) {
  if (++parser.nested_ > kMaxNesting) {
    --parser.nested_;
    parser.bad(parser.now().line, "nested too deep: expected at most {} levels", kMaxNesting);
  }
}

Parser::Parser(std::string_view source) {
  require(source.size() <= kMaxTemplateBytes, ErrorCode::kInvalidArgument,
          "the chat template has {} bytes: expected at most {}", source.size(), kMaxTemplateBytes);
  require(is_utf8(source), ErrorCode::kInvalidArgument, "the chat template is not UTF-8");
  tokens_ = tokenize(source);
  for (const std::string_view name : {"loop", "caller", "kwargs", "varargs"}) symbol(name);
}

Program Parser::parse() {
  program_.body = body_until({});
  surely_unknown_.insert(surely_unknown_.end(), unknown_.begin(), unknown_.end());
  require(surely_unknown_.empty(), ErrorCode::kInvalidArgument, "{}",
          surely_unknown_.empty() ? "" : surely_unknown_.front());
  return std::move(program_);
}

bool Parser::skip_name(std::string_view name) {
  const bool found = now().is_name(name);
  if (found) take();
  return found;
}
bool Parser::skip(std::string_view op) {
  const bool found = now().is_operator(op);
  if (found) take();
  return found;
}
void Parser::expect(std::string_view op) {
  if (!skip(op)) unexpected(fmt::format("`{}`", op));
}
void Parser::expect(TokenKind kind) {
  if (now().kind != kind) unexpected(describe({kind, 0, "", 0, 0}));
  take();
}
const Token& Parser::expect_name() {
  if (now().kind != TokenKind::kName) unexpected("a name");
  return take();
}
void Parser::unexpected(std::string_view expected) const {
  bad(now().line, "found {}, expected {}", describe(now()), expected);
}

std::uint32_t Parser::symbol(std::string_view name) {
  const auto found = program_.numbers.find(name);
  if (found != program_.numbers.end()) return found->second;
  const auto number = static_cast<std::uint32_t>(program_.symbols.size());
  program_.symbols.push_back(keep(name));
  program_.numbers.emplace(program_.symbols.back(), number);
  return number;
}

std::string_view Parser::keep(std::string_view text) {
  return program_.texts.emplace_back(text);
}

void Parser::note_unknown(std::string_view kind, std::string_view name, std::uint32_t line) {
  unknown_.push_back(fmt::format("chat template, line {}: there is no {} `{}`", line, kind, name));
}

Body Parser::body_until(std::initializer_list<std::string_view> ends) {
  Body body;
  for (;;) {
    const Token& token = now();
    if (token.kind == TokenKind::kEnd) {
      if (ends.size() == 0) return body;
      unexpected(fmt::format("`{{% {} %}}`", *std::prev(ends.end())));
    } else if (token.kind == TokenKind::kData) {
      Stmt& text = program_.statements.emplace_back();
      text.line = token.line;
      text.text = keep(token.text);
      body.push_back(&text);
      take();
    } else if (token.kind == TokenKind::kVariableBegin) {
      Stmt& output = program_.statements.emplace_back();
      output.kind = StmtKind::kOutput;
      output.line = token.line;
      take();
      output.expressions = {tuple(kWithCondition)};
      expect(TokenKind::kVariableEnd);
      body.push_back(&output);
    } else {
      take();
      const bool ended = std::any_of(ends.begin(), ends.end(),
                                     [this](std::string_view end) { return now().is_name(end); });
      if (ended) return body;
      body.push_back(statement());
      expect(TokenKind::kBlockEnd);
    }
  }
}

/// A body with names of its own: what it surely calls is no longer under the `if` around it.
Body Parser::inner_body(std::initializer_list<std::string_view> ends) {
  std::vector<std::string> outer = std::move(unknown_);
  unknown_.clear();
  skip(":");
  expect(TokenKind::kBlockEnd);
  Body body = body_until(ends);
  surely_unknown_.insert(surely_unknown_.end(), unknown_.begin(), unknown_.end());
  unknown_ = std::move(outer);
  return body;
}

/// A macro's body: loops around it are not its own.
Body Parser::function_body(Stmt& stmt, std::initializer_list<std::string_view> ends) {
  const std::uint32_t loops = loops_;
  std::array<bool, 4> outer{};
  std::copy(std::begin(mentions_), std::end(mentions_), outer.begin());
  std::fill(std::begin(mentions_), std::end(mentions_), false);
  loops_ = 0;
  Body body = inner_body(ends);
  loops_ = loops;
  has_macro_ = true;
  stmt.takes_caller = mentions_[kCallerSymbol];
  stmt.takes_kwargs = mentions_[kKwargsSymbol];
  stmt.takes_varargs = mentions_[kVarargsSymbol];
  for (std::size_t i = 0; i < outer.size(); ++i) mentions_[i] = mentions_[i] || outer[i];
  return body;
}

void Parser::end_tag(std::string_view name) {
  if (!skip_name(name)) unexpected(fmt::format("`{}`", name));
}

const Stmt* Parser::statement() {
  const Nest nest(*this);
  const Token& tag = now();
  if (tag.kind != TokenKind::kName) unexpected("the name of a tag");
  Stmt& stmt = program_.statements.emplace_back();
  stmt.line = tag.line;
  const std::string& name = tag.text;
  take();
  if (name == "if") {
    parse_if(stmt);
  } else if (name == "for") {
    parse_for(stmt);
  } else if (name == "set") {
    parse_set(stmt);
  } else if (name == "macro") {
    parse_macro(stmt);
  } else if (name == "call") {
    parse_call_block(stmt);
  } else if (name == "filter") {
    stmt.kind = StmtKind::kFilterBlock;
    stmt.expressions = {filter(nullptr)};
    stmt.body = inner_body({"endfilter"});
    end_tag("endfilter");
  } else if (name == "generation") {
    stmt.kind = StmtKind::kScope;
    Stmt ignored;
    stmt.body = function_body(ignored, {"endgeneration"});
    end_tag("endgeneration");
  } else if (name == "with") {
    parse_with(stmt);
  } else if (name == "print") {
    parse_print(stmt);
  } else if (name == "break" || name == "continue") {
    if (loops_ == 0) bad(stmt.line, "`{}` outside of a loop", name);
    stmt.kind = name == "break" ? StmtKind::kBreak : StmtKind::kContinue;
  } else if (std::find(kOtherFiles.begin(), kOtherFiles.end(), name) != kOtherFiles.end()) {
    bad(stmt.line, "the tag `{}` is not supported in chat templates", name);
  } else {
    bad(stmt.line, "found the tag `{}`, expected a statement or the end of the one around it",
        name);
  }
  return &stmt;
}

void Parser::parse_if(Stmt& stmt) {
  stmt.kind = StmtKind::kIf;
  const std::size_t known = unknown_.size();
  const auto branch = [&] {
    const Expr* condition = tuple(kWithoutCondition);
    skip(":");
    expect(TokenKind::kBlockEnd);
    stmt.branches.emplace_back(condition, body_until({"elif", "else", "endif"}));
  };
  branch();
  while (skip_name("elif")) branch();
  if (skip_name("else")) {
    skip(":");
    expect(TokenKind::kBlockEnd);
    stmt.other = body_until({"endif"});
  }
  end_tag("endif");
  unknown_.resize(known);
}

void Parser::parse_for(Stmt& stmt) {
  stmt.kind = StmtKind::kFor;
  stmt.target = target(false, "in");
  if (!skip_name("in")) unexpected("`in`");
  stmt.expressions = {tuple(kWithoutCondition, "recursive"), nullptr};
  if (skip_name("if")) stmt.expressions[1] = expression();
  stmt.recursive = skip_name("recursive");
  const bool had_macro = has_macro_;
  has_macro_ = false;
  ++loops_;
  stmt.body = inner_body({"endfor", "else"});
  --loops_;
  stmt.keeps_scope = has_macro_;
  has_macro_ = has_macro_ || had_macro;
  if (skip_name("else")) stmt.other = inner_body({"endfor"});
  end_tag("endfor");
}

Target Parser::single_target(bool attributes) {
  const Nest nest(*this);
  Target made;
  made.line = now().line;
  if (skip("(")) {
    made = target(attributes, {});
    expect(")");
    return made;
  }
  const Token& name = expect_name();
  for (const std::string_view constant : {"true", "True", "false", "False", "none", "None"})
    if (name.text == constant) bad(name.line, "cannot assign to `{}`", constant);
  made.symbol = symbol(name.text);
  if (attributes && skip(".")) {
    made.kind = Target::kAttribute;
    made.attribute = keep(expect_name().text);
  } else if (made.symbol == kLoopSymbol && !attributes) {
    bad(name.line, "cannot assign to `loop`, which the loop itself sets");
  }
  return made;
}

Target Parser::target(bool attributes, std::string_view end) {
  Target first = single_target(attributes);
  if (!now().is_operator(",")) return first;
  Target made;
  made.kind = Target::kTuple;
  made.line = first.line;
  made.items.push_back(std::move(first));
  while (skip(",")) {
    if (now().kind != TokenKind::kName && !now().is_operator("(")) break;
    if (!end.empty() && now().is_name(end)) break;
    made.items.push_back(single_target(attributes));
  }
  return made;
}

void Parser::parse_set(Stmt& stmt) {
  stmt.target = target(true, {});
  if (skip("=")) {
    stmt.kind = StmtKind::kSet;
    stmt.expressions = {tuple(kWithCondition)};
    return;
  }
  stmt.kind = StmtKind::kSetBlock;
  stmt.expressions = {nullptr};
  while (skip("|")) stmt.expressions[0] = filter(stmt.expressions[0]);
  stmt.body = inner_body({"endset"});
  end_tag("endset");
}

void Parser::parse_with(Stmt& stmt) {
  stmt.kind = StmtKind::kWith;
  while (now().kind != TokenKind::kBlockEnd && now().kind != TokenKind::kEnd) {
    if (!stmt.targets.empty()) expect(",");
    stmt.targets.push_back(single_target(false));
    expect("=");
    stmt.expressions.push_back(expression());
  }
  stmt.body = inner_body({"endwith"});
  end_tag("endwith");
}

void Parser::parse_signature(Stmt& stmt) {
  expect("(");
  while (!now().is_operator(")")) {
    if (!stmt.parameters.empty()) expect(",");
    Parameter parameter;
    const Token& name = expect_name();
    parameter.symbol = symbol(name.text);
    parameter.name = program_.symbols[parameter.symbol];
    if (skip("=")) {
      parameter.standard = expression();
    } else if (!stmt.parameters.empty() && stmt.parameters.back().standard != nullptr) {
      bad(name.line, "the parameter `{}` needs a default, as the one before it has", name.text);
    }
    stmt.parameters.push_back(parameter);
    if (stmt.parameters.size() > kMaxArguments)
      bad(name.line, "more than {} parameters", kMaxArguments);
  }
  expect(")");
}

void Parser::parse_macro(Stmt& stmt) {
  stmt.kind = StmtKind::kMacro;
  stmt.symbol = symbol(expect_name().text);
  stmt.text = program_.symbols[stmt.symbol];
  parse_signature(stmt);
  stmt.body = function_body(stmt, {"endmacro"});
  end_tag("endmacro");
}

void Parser::parse_call_block(Stmt& stmt) {
  stmt.kind = StmtKind::kCallBlock;
  if (now().is_operator("(")) parse_signature(stmt);
  stmt.expressions = {expression()};
  if (stmt.expressions[0]->kind != ExprKind::kCall) bad(stmt.line, "expected a call after `call`");
  stmt.body = function_body(stmt, {"endcall"});
  end_tag("endcall");
}

void Parser::parse_print(Stmt& stmt) {
  stmt.kind = StmtKind::kOutput;
  while (now().kind != TokenKind::kBlockEnd && now().kind != TokenKind::kEnd) {
    if (!stmt.expressions.empty()) expect(",");
    stmt.expressions.push_back(expression());
  }
}

}  // namespace airlock::chat
