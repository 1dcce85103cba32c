// Text for people: what a terminal would obey is shown instead, and diagnostics go to stderr.
#pragma once

#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace airlock {

/// `text` without anything that a terminal obeys: control characters (C0 but newline and tab, DEL,
/// C1) and bytes that are no UTF-8 become "\x1b", directional overrides, embeddings and isolates
/// (U+202A to U+202E, U+2066 to U+2069) become "\u202e". The rest stays as it is. Thread-safe.
[[nodiscard]] std::string shown_text(std::string_view text);
/// The same in one line, for a table's cell or a name: newline and tab become "\n" and "\t".
[[nodiscard]] std::string shown_line(std::string_view text);

namespace detail {
void write_note(std::string_view text, bool over);

/// Calls take(text) with what is formatted, of which 500 bytes take no memory. Never throws: a line
/// that finds no memory is lost.
template <typename Take, typename... Args>
void with_text(const Take& take, fmt::format_string<Args...> format, Args&&... args) noexcept {
  try {
    fmt::memory_buffer text;
    fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
    take(std::string_view(text.data(), text.size()));
  } catch (...) {  // NOLINT(bugprone-empty-catch): see above
  }
}
}  // namespace detail

/// Writes to stderr at once, as shown_text, `format` being fmt's. Lines of up to 500 bytes take no
/// memory. Never throws: that nobody takes a diagnostic (full disk, closed pipe, no memory) is no
/// reason to end what it is about. A signal that is handled ends a wait for a reader. Thread-safe;
/// up to PIPE_BUF (4096) bytes stay together.
template <typename... Args>
void say(fmt::format_string<Args...> format, Args&&... args) noexcept {
  detail::with_text([](std::string_view text) { detail::write_note(text, false); }, format,
                    std::forward<Args>(args)...);
}

/// The same in place of the line that the cursor is in; stderr is a terminal.
template <typename... Args>
void say_over(fmt::format_string<Args...> format, Args&&... args) noexcept {
  detail::with_text([](std::string_view text) { detail::write_note(text, true); }, format,
                    std::forward<Args>(args)...);
}

}  // namespace airlock
