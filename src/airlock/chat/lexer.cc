#include "airlock/chat/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "airlock/chat/unicode.h"
#include "airlock/core/error.h"
#include "airlock/core/utf8.h"

namespace airlock::chat {
namespace {

bool is_digit_of(char c, int base) {
  const int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : 99;
  return digit < base;
}
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string with_plain_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_newlines(source)), rest_(source_) {}

  std::vector<Token> run() {
    while (!rest_.empty()) root();
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::kInvalidArgument, "chat template, line {}: {}", line_,
         fmt::format(format, std::forward<Args>(args)...));
  }
  Token& add(TokenKind kind, std::string text = {}) {
    tokens_.push_back({kind, line_, std::move(text), 0, 0});
    return tokens_.back();
  }
  /// Passes `count` bytes, counting lines.
  void pass(std::size_t count) {
    line_ += static_cast<std::uint32_t>(
        std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(count), '\n'));
    if (count > 0) line_starting_ = rest_[count - 1] == '\n';
    rest_.remove_prefix(count);
  }
  void pass_space() { pass(rest_.size() - strip_left(rest_).size()); }

  /// The text before a tag with `sign`, as white space control leaves it.
  [[nodiscard]] std::string_view trimmed(std::string_view text, char sign, bool block) const {
    if (sign == '-') return strip_right(text);
    if (sign == '+' || !block) return text;
    const std::size_t line = text.rfind('\n') + 1;
    if (line == 0 && !line_starting_) return text;
    return strip_left(text.substr(line)).empty() ? text.substr(0, line) : text;
  }
  [[nodiscard]] static char sign_of(std::string_view text) {
    return !text.empty() && (text[0] == '-' || text[0] == '+') ? text[0] : ' ';
  }

  /// Passes a tag's end, `close`, with the white space that it takes along. False if none is here.
  bool end_of_tag(std::string_view close, bool trims_newline) {
    const char sign = sign_of(rest_);
    const bool signed_end =
        (sign == '-' || (sign == '+' && trims_newline)) && rest_.substr(1).starts_with(close);
    if (!signed_end && !rest_.starts_with(close)) return false;
    pass(close.size() + (signed_end ? 1 : 0));
    if (signed_end && sign == '-') {
      pass_space();
    } else if (!signed_end && trims_newline && rest_.starts_with('\n')) {
      pass(1);
    }
    return true;
  }

  /// The bytes of `{% raw %}` at the front of `text`, or of `{% endraw` up to its end; 0 if
  /// neither.
  [[nodiscard]] static std::size_t keyword_tag(std::string_view text, std::string_view keyword) {
    std::string_view inner = text.substr(2);
    if (sign_of(inner) != ' ') inner.remove_prefix(1);
    inner = strip_left(inner);
    if (!inner.starts_with(keyword)) return 0;
    inner = strip_left(inner.substr(keyword.size()));
    const bool ends = inner.starts_with("%}") || inner.starts_with("-%}") ||
                      (keyword == "endraw" && inner.starts_with("+%}"));
    return ends ? text.size() - inner.size() : 0;
  }

  void root() {
    std::size_t at = 0;
    for (;; ++at) {
      at = rest_.find('{', at);
      if (at == std::string_view::npos || at + 1 >= rest_.size()) {
        add(TokenKind::kData, std::string(rest_));
        pass(rest_.size());
        return;
      }
      if (const char next = rest_[at + 1]; next == '%' || next == '{' || next == '#') break;
    }
    const char what = rest_[at + 1];
    const char sign = sign_of(rest_.substr(at + 2));
    const std::string_view data = trimmed(rest_.substr(0, at), sign, what != '{');
    if (!data.empty()) add(TokenKind::kData, std::string(data));
    pass(at);
    if (what == '%') {
      if (const std::size_t length = keyword_tag(rest_, "raw")) {
        pass(length);
        end_of_tag("%}", false);
        raw();
        return;
      }
    }
    pass(sign == ' ' ? 2 : 3);
    if (what == '#') {
      comment();
    } else if (what == '%') {
      add(TokenKind::kBlockBegin);
      tag("%}", TokenKind::kBlockEnd);
    } else {
      add(TokenKind::kVariableBegin);
      tag("}}", TokenKind::kVariableEnd);
    }
  }

  void raw() {
    for (std::size_t at = rest_.find("{%"); at != std::string_view::npos;
         at = rest_.find("{%", at + 1)) {
      const std::size_t length = keyword_tag(rest_.substr(at), "endraw");
      if (length == 0) continue;
      const std::string_view data =
          trimmed(rest_.substr(0, at), sign_of(rest_.substr(at + 2)), true);
      if (!data.empty()) add(TokenKind::kData, std::string(data));
      pass(at + length);
      end_of_tag("%}", true);
      return;
    }
    bad("`raw` is never ended: expected an `endraw`");
  }

  void comment() {
    std::size_t end = rest_.find("#}");
    if (end == std::string_view::npos) bad("a comment is never ended: expected `#}}`");
    if (end > 0 && sign_of(rest_.substr(end - 1)) != ' ') --end;
    pass(end);
    end_of_tag("#}", true);
  }

  void tag(std::string_view close, TokenKind end) {
    std::string open;
    for (;;) {
      if (rest_.empty()) return;  // the parser says what is missing
      const std::uint32_t line = line_;
      if (open.empty() && end_of_tag(close, end == TokenKind::kBlockEnd)) {
        add(end).line = line;
        return;
      }
      if (strip_left(rest_).size() != rest_.size()) {
        pass_space();
      } else if (!number() && !name() && !string()) {
        symbol(open);
      }
    }
  }

  /// The length of digits with single underscores between, from `at` on.
  [[nodiscard]] std::size_t digits(std::size_t at, int base) const {
    const std::size_t begin = at;
    while (at < rest_.size() && (is_digit_of(rest_[at], base) ||
                                 (rest_[at] == '_' && at > begin && at + 1 < rest_.size() &&
                                  is_digit_of(rest_[at + 1], base))))
      ++at;
    return at - begin;
  }

  bool number() {
    const std::size_t whole = digits(0, 10);
    if (whole == 0) return false;
    std::size_t length = whole;
    bool real = false;
    if (length < rest_.size() && rest_[length] == '.') {
      if (const std::size_t fraction = digits(length + 1, 10)) length += 1 + fraction, real = true;
    }
    if (length < rest_.size() && (rest_[length] == 'e' || rest_[length] == 'E')) {
      const std::size_t sign =
          length + 1 < rest_.size() && sign_of(rest_.substr(length + 1)) != ' ';
      if (const std::size_t power = digits(length + 1 + sign, 10))
        length += 1 + sign + power, real = true;
    }
    // `a.1.2` is two subscripts.
    const bool after_dot = !tokens_.empty() && tokens_.back().is_operator(".");
    if (real && !after_dot) {
      float_number(length);
    } else {
      whole_number(whole);
    }
    return true;
  }
  [[nodiscard]] std::string without_underscores(std::size_t begin, std::size_t length) const {
    std::string text(rest_.substr(begin, length));
    std::erase(text, '_');
    return text;
  }
  void float_number(std::size_t length) {
    const std::string text = without_underscores(0, length);
    Token& token = add(TokenKind::kFloat, text);
    const auto read = std::from_chars(text.data(), text.data() + text.size(), token.real);
    // As Python reads what is too large or too small.
    if (read.ec != std::errc())
      token.real = text.find("e-") != std::string::npos || text.find("E-") != std::string::npos
                       ? 0.0
                       : HUGE_VAL;
    pass(length);
  }
  void whole_number(std::size_t length) {
    int base = 10;
    std::size_t begin = 0;
    if (rest_[0] == '0' && rest_.size() > 2) {
      const char mark = static_cast<char>(rest_[1] | 0x20);
      const int other = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
      const std::size_t skip = rest_[2] == '_' ? 3 : 2;
      if (const std::size_t found = other == 10 ? 0 : digits(skip, other))
        base = other, begin = skip, length = found;
    }
    // Python has no octal 017: zeros end before another digit.
    if (base == 10 && rest_[0] == '0')
      length = std::min(length, std::min(rest_.find_first_not_of("0_"), rest_.size()));
    const std::string text = without_underscores(begin, length);
    Token& token = add(TokenKind::kInteger, text);
    const auto read = std::from_chars(text.data(), text.data() + text.size(), token.integer, base);
    if (read.ec != std::errc()) bad("the number {} is beyond 64 bits", text);
    pass(begin + length);
  }

  bool name() {
    std::size_t length = 0;
    while (length < rest_.size() && is_word(rest_[length])) ++length;
    if (length == 0) return false;
    add(TokenKind::kName, std::string(rest_.substr(0, length)));
    pass(length);
    return true;
  }

  bool string() {
    const char quote = rest_[0];
    if (quote != '\'' && quote != '"') return false;
    std::size_t end = 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) bad("a string is never ended: expected {}", quote);
    add(TokenKind::kString, unescaped(rest_.substr(1, end - 1)));
    pass(end + 1);
    return true;
  }

  /// The code point that `length` digits name, passed. `escape` says which escape it is in errors.
  char32_t escaped_code(std::string_view& text, std::size_t length, int base, char escape) const {
    std::uint32_t code = 0;
    const auto read =
        std::from_chars(text.data(), text.data() + std::min(length, text.size()), code, base);
    const auto found = static_cast<std::size_t>(read.ptr - text.data());
    if (base == 16 && found != length) bad("\\{} wants {} hexadecimal digits", escape, length);
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      bad("\\{} names a code point that is no character", escape);
    text.remove_prefix(found);
    return code;
  }

  [[nodiscard]] std::string unescaped(std::string_view text) const {
    constexpr std::string_view kPlain = "abfnrtv\\'\"";
    constexpr std::string_view kMeant = "\a\b\f\n\r\t\v\\'\"";
    std::string out;
    while (!text.empty()) {
      const std::size_t plain = std::min(text.find('\\'), text.size());
      out += text.substr(0, plain);
      text.remove_prefix(plain);
      if (text.size() < 2) break;
      const char c = text[1];
      if (const std::size_t at = kPlain.find(c); at != std::string_view::npos) {
        out += kMeant[at];
        text.remove_prefix(2);
      } else if (c >= '0' && c <= '7') {
        text.remove_prefix(1);
        append_utf8(escaped_code(text, 3, 8, c), out);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        text.remove_prefix(2);
        append_utf8(escaped_code(text, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, c), out);
      } else if (c == 'N') {
        bad("\\N{{...}} is not supported: write the character itself");
      } else {
        if (c != '\n') out += text.substr(0, 2);
        text.remove_prefix(2);
      }
    }
    return out;
  }

  void symbol(std::string& open) {
    constexpr std::array<std::string_view, 6> kTwo = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kOne = "+-/*%~[](){}><=.:|,;";
    std::size_t length = 0;
    for (const std::string_view two : kTwo)
      if (rest_.starts_with(two)) length = 2;
    if (length == 0 && kOne.find(rest_[0]) != std::string_view::npos) length = 1;
    if (length == 0) {
      const std::string_view character = Characters{rest_}.next();
      bad("unexpected character `{}` in a tag", character);
    }
    const char c = rest_[0];
    if (c == '(' || c == '[' || c == '{') {
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) bad("unexpected `{}`", c);
      if (open.back() != c) bad("unexpected `{}`, expected `{}`", c, open.back());
      open.pop_back();
    }
    add(TokenKind::kOperator, std::string(rest_.substr(0, length)));
    pass(length);
  }

  const std::string source_;
  std::string_view rest_;
  std::uint32_t line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace airlock::chat
