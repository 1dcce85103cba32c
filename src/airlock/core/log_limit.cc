#include "airlock/core/log_limit.h"

#include <algorithm>

namespace airlock {

std::optional<std::uint64_t> LogLimit::admit(Time now) {
  const std::lock_guard lock(mutex_);
  if (!filled_) filled_ = now;
  const std::int64_t due = std::max<std::int64_t>((now - *filled_) / interval_, 0);
  left_ = static_cast<int>(std::min<std::int64_t>(left_ + due, burst_));
  *filled_ = left_ == burst_ ? now : *filled_ + due * interval_;
  if (left_ == 0) {
    ++held_back_;
    return std::nullopt;
  }
  --left_;
  return std::exchange(held_back_, 0);
}

}  // namespace airlock
