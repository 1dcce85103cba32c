// Flags of commands that talk to a worker: which one, how, and for how long to wait.
#pragma once

#include <optional>
#include <string>

#include "airlock/launch/session.h"
#include "cli/device_flags.h"

namespace CLI {
class App;
}

namespace airlock {

class WorkerFlags {
 public:
  /// Adds --shape, DeviceFlags', --threads, --lanes, --shm-budget, --shm-threshold, --compress,
  /// --timeout and --least-rate, and with `one_link` also --worker, --worker-user and --link.
  void add_to(CLI::App& app, bool one_link);
  /// Throws Error(kInvalidArgument). Also sets the runner's own number of threads, and
  /// that it logs warnings and errors only.
  [[nodiscard]] WorkerOptions options() const;
  /// The same for a plan that is chosen: compression where it pays, unless --compress says
  /// otherwise.
  [[nodiscard]] WorkerOptions options_for_auto() const;

 private:
  bool one_link_ = false;
  std::string uri_;
  std::string worker_user_;
  std::string link_ = "shm";
  std::optional<std::string> shape_;
  DeviceFlags device_;
  int threads_ = 0;
  double timeout_s_ = 120;
  std::string least_rate_ = "64KiB/s";
  int lanes_ = 0;
  double shared_gib_ = 4;
  std::string shared_sizes_;
  std::string compress_;
};

/// "shm", "unix", "tcp" or "inproc" (a worker started here). Throws Error(kInvalidArgument).
Transport parse_link(std::string_view name);

/// "64KiB/s", or "0" for none: bytes a second. Throws Error(kInvalidArgument).
double parse_least_rate(const std::string& text);

/// One line on stderr: what the worker is, and that it computes in f32 although bf16 was asked for.
void print_worker(const WorkerOptions& options, const WelcomeMessage& worker);

}  // namespace airlock
