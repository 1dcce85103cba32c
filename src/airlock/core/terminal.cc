#include "airlock/core/terminal.h"

#include <cerrno>
#include <iterator>

#include <poll.h>
#include <unistd.h>

#include "airlock/core/utf8.h"

namespace airlock {
namespace {

bool is_directional(char32_t code) {
  return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

template <typename Out>
void append_shown(Out& out, std::string_view text, bool one_line) {
  auto end = std::back_inserter(out);
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    const bool is_character = step.kind == Utf8Step::kCharacter;
    const std::size_t bytes = is_character ? step.length : 1;
    const char32_t code = is_character ? utf8_code_point(text.substr(0, bytes)) : 0;
    const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    if (!is_character) {
      fmt::format_to(end, "\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (!one_line && text.starts_with("\r\n")) {
      out.push_back('\n');  // CSV's end of a line; a carriage return alone writes over the line
      text.remove_prefix(1);
    } else if (code == '\n' || code == '\t') {
      const std::string_view escaped = code == '\n' ? "\\n" : "\\t";
      const std::string_view shown = one_line ? escaped : text.substr(0, 1);
      out.append(shown.data(), shown.data() + shown.size());
    } else if (control) {
      fmt::format_to(end, "\\x{:02x}", static_cast<unsigned>(code));
    } else if (is_directional(code)) {
      fmt::format_to(end, "\\u{:04x}", static_cast<unsigned>(code));
    } else {
      out.append(text.data(), text.data() + bytes);
    }
    text.remove_prefix(bytes);
  }
}

std::string shown(std::string_view text, bool one_line) {
  std::string out;
  append_shown(out, text, one_line);
  return out;
}

}  // namespace

std::string shown_text(std::string_view text) {
  return shown(text, false);
}

std::string shown_line(std::string_view text) {
  return shown(text, true);
}

void detail::write_note(std::string_view text, bool over) {
  fmt::memory_buffer whole;
  constexpr std::string_view kClearLine = "\r\x1b[K";
  if (over) whole.append(kClearLine.begin(), kClearLine.end());
  append_shown(whole, text, false);
  std::string_view left(whole.data(), whole.size());
  while (!left.empty()) {
    const ssize_t put = ::write(STDERR_FILENO, left.data(), left.size());
    if (put > 0) {
      left.remove_prefix(static_cast<std::size_t>(put));
      continue;
    }
    pollfd room{STDERR_FILENO, POLLOUT, 0};
    if (put == 0 || errno != EAGAIN || ::poll(&room, 1, -1) <= 0) return;
  }
}

}  // namespace airlock
