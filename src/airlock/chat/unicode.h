// Characters as Python's str knows them (Unicode 14): code points of UTF-8, case, classes.
// Inside the chat room only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace airlock::chat {

/// Walks the characters of well-formed UTF-8.
struct Characters {
  std::string_view rest;
  /// The next character's bytes; empty at the end.
  std::string_view next() {
    if (rest.empty()) return {};
    const auto lead = static_cast<unsigned char>(rest.front());
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const std::string_view character = rest.substr(0, length);
    rest.remove_prefix(character.size());
    return character;
  }
};

[[nodiscard]] std::int64_t count_characters(std::string_view text) noexcept;
/// The byte at which character `index` of `text` begins; text.size() past the end.
[[nodiscard]] std::size_t byte_of_character(std::string_view text, std::int64_t index) noexcept;

/// Unicode's white space and the four separators U+001C to U+001F.
[[nodiscard]] bool is_space(char32_t c) noexcept;
[[nodiscard]] bool is_printable(char32_t c) noexcept;
[[nodiscard]] bool is_alpha(char32_t c) noexcept;
[[nodiscard]] bool is_decimal(char32_t c) noexcept;
[[nodiscard]] bool is_digit(char32_t c) noexcept;
[[nodiscard]] bool is_numeric(char32_t c) noexcept;
[[nodiscard]] bool is_lower(char32_t c) noexcept;
[[nodiscard]] bool is_upper(char32_t c) noexcept;
[[nodiscard]] bool is_title(char32_t c) noexcept;

/// Python's str.lower (with the final sigma), upper, title, capitalize and swapcase.
[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] std::string upper(std::string_view text);
[[nodiscard]] std::string title(std::string_view text);
[[nodiscard]] std::string capitalize(std::string_view text);
[[nodiscard]] std::string swapcase(std::string_view text);

/// `text` without white space at its ends.
[[nodiscard]] std::string_view strip_left(std::string_view text) noexcept;
[[nodiscard]] std::string_view strip_right(std::string_view text) noexcept;

}  // namespace airlock::chat
