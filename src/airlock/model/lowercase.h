// Lower case by character, as the normalizer `Lowercase` of a tokenizer.json has it.
#pragma once

#include <cstdint>

namespace airlock {

/// The lower case of `c`, or `c`. Of U+0130, the one character whose lower case is two ("i" and
/// U+0307), `c`. Source: UnicodeData.txt and SpecialCasing.txt 16.0, as `tokenizers` 0.23.3 applies
/// them.
char32_t lower_case(char32_t c) noexcept;

}  // namespace airlock
