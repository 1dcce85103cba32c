// What Python's string methods and Jinja's filters both do with text. Inside the chat room only.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "airlock/chat/value.h"

namespace airlock::chat {

/// Where `wanted` begins first or last in `text`, npos if nowhere; in time of the sum of their
/// lengths, whatever they hold.
std::size_t find_text(std::string_view text, std::string_view wanted);
std::size_t find_text_last(Heap& heap, std::string_view text, std::string_view wanted);
/// `text` without `characters` (white space if null) at its ends.
std::string_view strip(std::string_view text, const std::string_view* characters, bool left,
                       bool right);
/// Python's str.split and rsplit; a null or None separator is runs of white space.
Value split(Heap& heap, std::string_view text, const Value* separator, std::int64_t limit);
Value split_right(Heap& heap, std::string_view text, const Value* separator, std::int64_t limit);
/// Python's str.splitlines: it knows more line ends than \n.
std::vector<std::string_view> split_lines(Heap& heap, std::string_view text, bool keep_ends);
/// The first `count` of `old` in `text` replaced; all if it is negative.
Value replace(Heap& heap, std::string_view text, std::string_view old, std::string_view with,
              std::int64_t count);
/// `text` in `width` characters: left ('<'), right ('>') or centred ('^', as str.center).
Value padded(Heap& heap, std::string_view text, std::int64_t width, std::string_view fill,
             char align);

bool is_all_lower(std::string_view text);
bool is_all_upper(std::string_view text);
bool is_all_title(std::string_view text);

}  // namespace airlock::chat
