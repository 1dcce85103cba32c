#include "airlock/link/shaper_clock.h"

namespace airlock {
namespace {

// Falling asleep and waking up take tens of microseconds. A frame of a few dozen bytes occupies a
// fast link for less than one: such waits are spun through.
constexpr std::chrono::microseconds kSpin{20};

class SteadyClock final : public ShaperClock {
 public:
  [[nodiscard]] Time now() override { return std::chrono::steady_clock::now(); }

  void wait(const Alarm& alarm, std::optional<Time> until, const StopToken& stop) override {
    if (!until || *until - now() > kSpin) {
      (void)alarm.wait(until, stop);
      return;
    }
    while (now() < *until) {
    }
  }
};

}  // namespace

ShaperClock& steady_shaper_clock() {
  static SteadyClock clock;
  return clock;
}

}  // namespace airlock
