// A chat template's text cut into tokens, by the rules of Jinja's own lexer with trim_blocks and
// lstrip_blocks on. Inside the chat room only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace airlock::chat {

enum class TokenKind : std::uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::uint32_t line = 1;
  std::string text;  ///< data, a name, an operator, or a string without quotes and escapes
  std::int64_t integer = 0;
  double real = 0;

  [[nodiscard]] bool is_name(std::string_view name) const {
    return kind == TokenKind::kName && text == name;
  }
  [[nodiscard]] bool is_operator(std::string_view name) const {
    return kind == TokenKind::kOperator && text == name;
  }
};

/// The tokens of `source`, which must be UTF-8, and kEnd. Throws Error(kInvalidArgument) with the
/// line.
std::vector<Token> tokenize(std::string_view source);

}  // namespace airlock::chat
