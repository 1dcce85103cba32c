// Diagnostics for people, on stderr; results never go here.
#pragma once

#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace airlock {

enum class LogLevel { kInfo, kWarning, kError, kOff };

/// Least level that is printed; kInfo at start. Thread-safe.
void set_log_level(LogLevel level);
/// A word put in front of every line, e.g. "worker". Call before threads start.
void set_log_name(std::string_view name);
/// Prints one line to stderr. Thread-safe.
void log_line(LogLevel level, std::string_view text);

namespace detail {
/// A line that finds no memory is lost: catch clauses log.
template <typename... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) noexcept {
  try {
    fmt::memory_buffer text;
    fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
    log_line(level, {text.data(), text.size()});
  } catch (...) {  // NOLINT(bugprone-empty-catch): see above
  }
}
}  // namespace detail

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) noexcept {
  detail::log(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) noexcept {
  detail::log(LogLevel::kWarning, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) noexcept {
  detail::log(LogLevel::kError, format, std::forward<Args>(args)...);
}

}  // namespace airlock
