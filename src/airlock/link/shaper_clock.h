// The clock that a shaped link keeps time by: the machine's, or a test's.
#pragma once

#include <chrono>
#include <optional>

#include "airlock/link/wait.h"

namespace airlock {

/// Thread-safe.
class ShaperClock {
 public:
  using Time = Alarm::Time;
  using Duration = Time::duration;

  virtual ~ShaperClock() = default;
  ShaperClock(const ShaperClock&) = delete;
  ShaperClock& operator=(const ShaperClock&) = delete;

  [[nodiscard]] virtual Time now() = 0;
  /// Waits until `until` (nullopt: for ever) or until `alarm` is set; may be late, not early.
  /// Throws Error(kInterrupted) for `stop`.
  virtual void wait(const Alarm& alarm, std::optional<Time> until, const StopToken& stop) = 0;

 protected:
  ShaperClock() = default;
};

/// Real time.
[[nodiscard]] ShaperClock& steady_shaper_clock();

}  // namespace airlock
