// What the character classes of a tokenizer's regex mean, independent of the Unicode version that
// the installed PCRE2 knows.
#pragma once

#include <optional>
#include <string_view>

namespace airlock {

/// The White_Space property of Unicode, in PCRE2 class syntax without brackets. PCRE2's own `\s`
/// differs: it also holds U+180E, which lost the property in Unicode 6.3.
extern const char* const kWhiteSpaceClass;
/// True for a character of that property.
bool is_white_space(char32_t c) noexcept;

/// One character that the pre-tokenizers `Digits` and `Punctuation` look for, as a regex for
/// SplitRegex. `tokenizers` 0.23.3 knows numbers (N) as of Unicode 17 and punctuation (P, and all
/// of ASCII's signs) as of Unicode 7.
extern const std::string_view kDigit;
extern const std::string_view kPunctuation;

/// Characters of general category `category` ("L", "Lu", "Nd", ...) that Unicode 15.0, 15.1
/// and 16.0 added, in PCRE2 class syntax without brackets; possibly empty. PCRE2 10.42 knows
/// Unicode 14, the Hugging Face `tokenizers` package 16; the union of `\p{L}` and this is right for
/// both. Nothing for a category that no pre-tokenizer of a Llama needs. Source:
/// UnicodeData.txt 16.0.
std::optional<std::string_view> characters_since_unicode_14(std::string_view category) noexcept;

}  // namespace airlock
