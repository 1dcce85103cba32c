#include "airlock/core/terminal.h"

#include <cerrno>
#include <iterator>

#include <poll.h>
#include <unistd.h>

namespace airlock {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 0;  ///< 0: not UTF-8
};

/// The first character of `text`, which is not empty (RFC 3629: no surrogates, shortest form).
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return {};
  char32_t code = lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3FU);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  if (code < kLeast[bytes] || code > 0x10FFFF || surrogate) return {};
  return {code, bytes};
}

bool is_directional(char32_t code) {
  return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

template <typename Out>
void append_shown(Out& out, std::string_view text, bool one_line) {
  auto end = std::back_inserter(out);
  while (!text.empty()) {
    const Character at = first_character(text);
    const std::size_t bytes = at.bytes > 0 ? at.bytes : 1;
    const bool control = at.code < 0x20 || (at.code >= 0x7F && at.code < 0xA0);
    if (at.bytes == 0) {
      fmt::format_to(end, "\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (!one_line && text.starts_with("\r\n")) {
      out.push_back('\n');  // CSV's end of a line; a carriage return alone writes over the line
      text.remove_prefix(1);
    } else if (at.code == '\n' || at.code == '\t') {
      const std::string_view escaped = at.code == '\n' ? "\\n" : "\\t";
      const std::string_view shown = one_line ? escaped : text.substr(0, 1);
      out.append(shown.data(), shown.data() + shown.size());
    } else if (control) {
      fmt::format_to(end, "\\x{:02x}", static_cast<unsigned>(at.code));
    } else if (is_directional(at.code)) {
      fmt::format_to(end, "\\u{:04x}", static_cast<unsigned>(at.code));
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
