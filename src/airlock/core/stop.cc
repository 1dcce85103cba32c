#include "airlock/core/stop.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <sys/eventfd.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {

struct StopToken::State {
  explicit State(std::shared_ptr<const State> followed)
      : parent(std::move(followed)), depth(parent ? parent->depth + 1 : 1) {
    require(depth <= kMostSources, ErrorCode::kInternal, "{} stop sources in a row, at most {}",
            depth, kMostSources);
    descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    require_system(descriptor >= 0, ErrorCode::kResourceExhausted, "cannot open a descriptor");
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { ::close(descriptor); }

  const std::shared_ptr<const State> parent;
  const std::size_t depth;  ///< sources in a row, this one included
  int descriptor = -1;
  std::atomic<bool> requested{false};
  static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers set it");
};

bool StopToken::stopped() const noexcept {
  for (const State* state = state_.get(); state != nullptr; state = state->parent.get()) {
    if (state->requested.load(std::memory_order_acquire)) return true;
  }
  return false;
}

void StopToken::throw_if_stopped() const {
  if (stopped()) fail(ErrorCode::kInterrupted, "interrupted");
}

std::size_t StopToken::descriptors(std::span<int, kMostSources> into) const noexcept {
  std::size_t count = 0;
  for (const State* state = state_.get(); state != nullptr; state = state->parent.get()) {
    into[count++] = state->descriptor;
  }
  return count;
}

StopSource::StopSource(const StopToken& parent)
    : state_(std::make_shared<StopToken::State>(parent.state_)) {}

void StopSource::request_stop() const noexcept {
  // The flag first: who is woken by the descriptor looks at it.
  if (state_->requested.exchange(true)) return;
  const int saved = errno;  // a signal's handler must not change it
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(state_->descriptor, &one, sizeof one);
  errno = saved;
}

}  // namespace airlock
