// Diagnostics for people, on stderr; results never go here.
#pragma once

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

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace airlock
