// Diagnostics for people, on stderr; results never go here.
#pragma once

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "airlock/core/terminal.h"

namespace airlock {

enum class LogLevel { kInfo, kWarning, kError, kOff };

/// Least level that is printed; kInfo at start. Thread-safe.
void set_log_level(LogLevel level) noexcept;
/// A word put in front of every line, e.g. "worker"; "airlock" at start. Kept, not copied. Call
/// before threads start.
void set_log_name(std::string_view name) noexcept;
/// Prints one line to stderr, as say() of core/terminal.h does: harmless on a terminal, whole, and
/// without ever throwing, so that a catch clause may log. Thread-safe.
void log_line(LogLevel level, std::string_view text) noexcept;

template <typename... Args>
void log_at(LogLevel level, fmt::format_string<Args...> format, Args&&... args) noexcept {
  detail::with_text([level](std::string_view text) { log_line(level, text); }, format,
                    std::forward<Args>(args)...);
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) noexcept {
  log_at(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) noexcept {
  log_at(LogLevel::kWarning, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) noexcept {
  log_at(LogLevel::kError, format, std::forward<Args>(args)...);
}

}  // namespace airlock
