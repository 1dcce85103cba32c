#include "airlock/core/interrupt.h"

#include <atomic>
#include <csignal>
#include <cstdint>

#include <sys/eventfd.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {
namespace {
std::atomic<int> g_signal{0};
const int g_event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

void on_signal(int signal) noexcept {
  if (g_signal.exchange(signal) != 0 && signal == SIGINT) ::_exit(130);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(g_event, &one, sizeof one);
}
}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

bool interrupted() noexcept {
  return g_signal.load(std::memory_order_relaxed) != 0;
}

int interrupt_fd() noexcept {
  return g_event;
}

int interrupt_signal() noexcept {
  return g_signal.load(std::memory_order_relaxed);
}

void throw_if_interrupted() {
  if (interrupted()) fail(ErrorCode::kInterrupted, "interrupted");
}

void raise_interrupt() noexcept {
  on_signal(SIGTERM);
}

void clear_interrupt() noexcept {
  g_signal = 0;
  std::uint64_t count = 0;
  [[maybe_unused]] const auto drained = ::read(g_event, &count, sizeof count);
}

}  // namespace airlock
