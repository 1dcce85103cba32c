// A worker of the runner's own on this machine: started with one end of a private connection, and
// ended whatever happens to either side.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "airlock/link/link.h"
#include "airlock/link/link_options.h"
#include "airlock/link/uri.h"

namespace airlock {

struct WorkerProcessOptions {
  /// The airlock program; empty: the one that is running, even if its file was replaced since.
  std::string program;
  /// What follows `worker` on its command line; "--serve-fd N" is added.
  std::vector<std::string> arguments;
  Transport transport = Transport::kShm;
  LinkOptions link = {};  ///< of our end
};

/// Owns the child. The child ends when this object does, when the thread that made it dies (Linux's
/// parent-death signal), or when its connection closes. No address is opened for others: the two
/// are connected before the child starts. Not thread-safe.
class WorkerProcess {
 public:
  /// Starts it; does not wait until it has loaded its model (its Welcome does). Of our descriptors
  /// it gets stderr and its end of the connection, nothing else. Throws Error(kResourceExhausted)
  /// if the system refuses, Error(kIo) if the program cannot be run, Error(kUnsupported) for a
  /// transport that cannot be handed over.
  explicit WorkerProcess(const WorkerProcessOptions& options);
  /// Asks it to end, waits a while, then kills it.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  /// The runner's end of the connection; once.
  [[nodiscard]] std::unique_ptr<Link> take_link() { return std::move(link_); }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// If it has ended by itself (waiting a moment for that): "exited with status 1", "was killed by
  /// signal 9"; empty while it runs.
  std::string how_it_ended();

 private:
  bool wait_for_end(int milliseconds);

  std::unique_ptr<Link> link_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

}  // namespace airlock
