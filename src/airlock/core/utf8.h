// UTF-8: what is ill-formed is told from characters, and becomes U+FFFD, whole or as a stream.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace airlock {

/// U+FFFD REPLACEMENT CHARACTER in UTF-8.
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// What starts at the front of `bytes`.
struct Utf8Step {
  enum Kind : std::uint8_t {
    kCharacter,  ///< one whole character of `length` bytes
    kIllFormed,  ///< a maximal ill-formed subpart of `length` bytes (D93b)
    kPartial,    ///< all `length` remaining bytes are the start of a character
  };
  Kind kind;
  std::uint8_t length;  ///< in [1, 4]
};

/// Classifies the front of `bytes`, which must not be empty.
Utf8Step utf8_step(std::string_view bytes) noexcept;

/// True if `bytes` is well-formed UTF-8 (no surrogates, no overlong forms, up to U+10FFFF).
bool is_utf8(std::string_view bytes) noexcept;

/// `bytes` with every maximal ill-formed subpart replaced by U+FFFD; a partial character at the end
/// counts as one. Equals Python's `bytes.decode("utf-8", "replace")`.
std::string replace_ill_formed(std::string_view bytes);

/// The code point of a whole character as utf8_step found it.
char32_t utf8_code_point(std::string_view character) noexcept;

/// The last character of `text` (valid UTF-8, not empty).
std::string_view last_character(std::string_view text) noexcept;

/// Appends the UTF-8 of `code_point`, which must be a Unicode scalar value.
void append_utf8(char32_t code_point, std::string& out);

/// replace_ill_formed for bytes that arrive in pieces: holds back at most 3 bytes.
class Utf8Stream {
 public:
  /// Appends to `out` all characters that `bytes` completes.
  void push(std::string_view bytes, std::string& out);
  /// Appends U+FFFD if a character was left unfinished; then is as new.
  void flush(std::string& out);

 private:
  std::array<char, 4> held_{};
  std::size_t held_size_ = 0;
};

}  // namespace airlock
