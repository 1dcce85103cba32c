#include "cli/progress.h"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "airlock/core/terminal.h"

namespace airlock {

using Clock = std::chrono::steady_clock;

Progress::Progress(std::string label, bool quiet)
    : label_(std::move(label)),
      quiet_(quiet),
      terminal_(::isatty(STDERR_FILENO) == 1),
      began_(Clock::now()) {
  if (quiet_) return;
  if (terminal_) {
    draw(0, 1);
  } else {
    say("{} …\n", label_);
  }
}

Progress::~Progress() {
  if (open_ && terminal_ && !quiet_) say("\n");
}

void Progress::update(std::int64_t done, std::int64_t total) {
  if (quiet_ || !terminal_ || Clock::now() - drawn_ < std::chrono::milliseconds(100)) return;
  draw(done, total);
}

void Progress::draw(std::int64_t done, std::int64_t total) {
  constexpr int kWidth = 30;
  drawn_ = Clock::now();
  const double share =
      total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0)
                : 0.0;
  const double elapsed = std::chrono::duration<double>(drawn_ - began_).count();
  const std::string left =
      share > 0.02 ? fmt::format("{:.0f} s left", elapsed * (1 - share) / share) : "";
  const int filled = static_cast<int>(share * kWidth);
  say_over("{} [{:=<{}}{: <{}}] {:3.0f} % {}", label_, "", filled, "", kWidth - filled, share * 100,
           left);
}

void Progress::finish() {
  open_ = false;
  if (quiet_) return;
  const double elapsed = std::chrono::duration<double>(Clock::now() - began_).count();
  if (terminal_) {
    say_over("{}: done in {:.1f} s\n", label_, elapsed);
  } else {
    say("{}: done in {:.1f} s\n", label_, elapsed);
  }
}

}  // namespace airlock
