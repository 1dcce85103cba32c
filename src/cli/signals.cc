#include "cli/signals.h"

#include <atomic>
#include <csignal>
#include <memory>

#include <unistd.h>

#include "airlock/core/doomed_file.h"

namespace airlock {
namespace {

std::atomic<int> g_signal{0};

// Never destroyed: a signal may come while the process ends.
struct Process {
  StopSource source;
  StopToken token = source.token();
};
const Process& process() {
  static const Process* const instance = std::make_unique<Process>().release();
  return *instance;
}

void on_signal(int signal) noexcept {
  if (g_signal.exchange(signal) != 0 && signal == SIGINT) {
    remove_doomed_files();
    ::_exit(130);
  }
  process().source.request_stop();
}

}  // namespace

void catch_signals() {
  (void)process();  // made here, not by the handler
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  struct sigaction inherited {};
  ::sigaction(SIGHUP, nullptr, &inherited);
  if (inherited.sa_handler != SIG_IGN) ::sigaction(SIGHUP, &action, nullptr);  // not under nohup
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGXFSZ, &action, nullptr);
}

const StopToken& signal_stop() {
  return process().token;
}

int caught_signal() noexcept {
  return g_signal.load(std::memory_order_relaxed);
}

}  // namespace airlock
