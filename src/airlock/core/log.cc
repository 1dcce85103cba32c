#include "airlock/core/log.h"

#include <atomic>

namespace airlock {
namespace {
std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::string_view g_name = "airlock";
}  // namespace

void set_log_level(LogLevel level) noexcept {
  g_level = level;
}

void set_log_name(std::string_view name) noexcept {
  g_name = name;
}

void log_line(LogLevel level, std::string_view text) noexcept {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  say("{}: {}\n", g_name, text);
}

}  // namespace airlock
