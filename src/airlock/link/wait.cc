#include "airlock/link/wait.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using std::chrono::milliseconds;
using std::chrono::steady_clock;
// Longer limits than a year are none; it also keeps now + limit from overflowing.
constexpr milliseconds kForever = std::chrono::hours(24 * 365);
constexpr std::chrono::microseconds kSpin{20};

Fd opened(int fd) {
  if (fd < 0) {
    fail(ErrorCode::kResourceExhausted, "cannot open a descriptor: {}", std::strerror(errno));
  }
  return Fd(fd);
}
}  // namespace

Deadline::Deadline(Limit limit) {
  if (limit && *limit < kForever) end_ = steady_clock::now() + *limit;
}

Limit Deadline::left() const {
  if (!end_) return std::nullopt;
  const auto left = std::chrono::ceil<milliseconds>(*end_ - steady_clock::now());
  return std::max(left, milliseconds(0));
}

void Patience::earn(std::size_t bytes) noexcept {
  if (bytes == 0) return;
  if (!(least_rate_ > 0)) return renew();
  const double earned = static_cast<double>(bytes) / least_rate_;
  const double waited = std::chrono::duration<double>(waited_).count();
  if (earned >= waited) return renew();
  waited_ -= std::chrono::duration_cast<Duration>(std::chrono::duration<double>(earned));
}

Limit Patience::left() const noexcept {
  if (!limit_ || *limit_ >= kForever) return std::nullopt;
  return std::max(std::chrono::ceil<milliseconds>(*limit_ - waited_), milliseconds(0));
}

std::optional<short> wait_for(int fd, short events, Limit limit, const StopToken& stop, int also) {
  const Deadline deadline(limit);
  std::array<int, StopToken::kMostSources> stops;
  const std::size_t stop_count = stop.descriptors(stops);
  std::array<pollfd, 2 + StopToken::kMostSources> fds;
  fds[0] = {fd, events, 0};
  fds[1] = {also, POLLIN, 0};
  for (std::size_t i = 0; i < stop_count; ++i) fds[2 + i] = {stops[i], POLLIN, 0};
  while (true) {
    const Limit left = deadline.left();
    const int timeout =
        left ? static_cast<int>(std::min<std::int64_t>(left->count(), INT_MAX)) : -1;
    const int ready = ::poll(fds.data(), 2 + stop_count, timeout);
    if (ready < 0 && errno != EINTR) {
      fail(ErrorCode::kInternal, "cannot wait for a link: {}", std::strerror(errno));
    }
    if (ready > 0) {
      stop.throw_if_stopped();
      if (fds[0].revents != 0 || fds[1].revents != 0) return fds[0].revents;
    }
    if (ready == 0 && left && deadline.left()->count() == 0) return std::nullopt;
  }
}

bool spin_for(int fd, short events) noexcept {
  const auto end = steady_clock::now() + kSpin;
  do {
    pollfd asked{fd, events, 0};
    if (::poll(&asked, 1, 0) > 0) return true;
  } while (steady_clock::now() < end);
  return false;
}

int usable_cores() noexcept {
  cpu_set_t cores;
  // It fails only where there are more cores than the set has room for.
  if (::sched_getaffinity(0, sizeof cores, &cores) != 0) return CPU_SETSIZE;
  return std::max(CPU_COUNT(&cores), 1);
}

Event::Event() : fd_(opened(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {}

void Event::set() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(fd_.get(), &one, sizeof one);
}

void Event::clear() noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto drained = ::read(fd_.get(), &count, sizeof count);
}

bool Event::wait(Limit limit, const StopToken& stop) const {
  return wait_for(fd_.get(), POLLIN, limit, stop).has_value();
}

Alarm::Alarm() : timer_(opened(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK))) {}

bool Alarm::is_set() const {
  pollfd event{event_.fd(), POLLIN, 0};
  return ::poll(&event, 1, 0) > 0;
}

bool Alarm::wait(std::optional<Time> until, const StopToken& stop) const {
  if (!until) return event_.wait(std::nullopt, stop);
  // steady_clock is CLOCK_MONOTONIC. All zero would disarm the timer; 1 ns is as long ago.
  const auto since_boot = std::max(until->time_since_epoch(), Time::duration(1));
  const auto whole = std::chrono::floor<std::chrono::seconds>(since_boot);
  itimerspec when{};
  when.it_value.tv_sec = whole.count();
  when.it_value.tv_nsec = (since_boot - whole).count();
  if (::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr) != 0) {
    fail(ErrorCode::kInternal, "cannot set a timer: {}", std::strerror(errno));
  }
  return wait_for(event_.fd(), POLLIN, std::nullopt, stop, timer_.get()) != 0;
}

}  // namespace airlock
