// Keeps what strangers can cause from filling a log: a burst of lines, then a few, and a count.
// core/ knows nothing of models, links or plans.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "airlock/core/log.h"

namespace airlock {

/// A bucket of lines. Thread-safe; allocates nothing.
class LogLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `burst` lines at once, one more every `interval`.
  explicit LogLimit(int burst = 20, std::chrono::milliseconds interval = std::chrono::seconds(1))
      : burst_(burst), interval_(interval), left_(burst) {}

  /// Whether a line may be printed at `now`: then how many were held back since the last that was.
  [[nodiscard]] std::optional<std::uint64_t> admit(Time now = std::chrono::steady_clock::now());

 private:
  const int burst_;
  const std::chrono::milliseconds interval_;
  std::mutex mutex_;
  int left_;
  std::optional<Time> filled_;  ///< when left_ was last added to
  std::uint64_t held_back_ = 0;
};

/// A line of `limit`, which is formatted only if it is printed.
template <typename... Args>
void log_limited(LogLimit& limit, LogLevel level, fmt::format_string<Args...> format,
                 Args&&... args) noexcept {
  const auto held_back = limit.admit();
  if (!held_back) return;
  detail::with_text(
      [&](std::string_view text) {
        if (*held_back == 0) return log_line(level, text);
        log_at(level, "{} ({} lines like it were held back)", text, *held_back);
      },
      format, std::forward<Args>(args)...);
}

}  // namespace airlock
