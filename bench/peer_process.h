// A forked process that answers a benchmark: never outlives it.
#pragma once

#include <csignal>
#include <cstdio>
#include <exception>
#include <utility>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "airlock/core/error.h"

namespace airlock {

/// Runs `body` in a forked process. The destructor waits for it to return: end what it listens to
/// before. Not thread-safe.
class PeerProcess {
 public:
  template <typename Body>
  explicit PeerProcess(Body&& body) : pid_(::fork()) {
    require(pid_ >= 0, ErrorCode::kResourceExhausted, "cannot fork");
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      std::forward<Body>(body)();
      ::_exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "the peer of a benchmark failed: %s\n", error.what());
      ::_exit(1);
    }
  }
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;
  ~PeerProcess() { ::waitpid(pid_, nullptr, 0); }

 private:
  const pid_t pid_;
};

}  // namespace airlock
