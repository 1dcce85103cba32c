// The worker's end: takes runners, one session each, and runs their calls on one backend.
// Nothing a runner says is believed: lengths, shapes, order and budgets are checked first.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "airlock/link/connect.h"
#include "airlock/link/link.h"
#include "airlock/wire/message.h"
#include "airlock/worker/backend.h"
#include "airlock/worker/session_table.h"

namespace airlock {

struct ServerOptions {
  /// Runners served at the same time; one more takes the place of the one that has been without a
  /// call for longest, if that is session_idle or longer, or is refused with kResourceExhausted.
  int max_sessions = 16;
  /// Sequences of one session, each with a KV cache; one more is refused with kResourceExhausted.
  int max_sequences = 256;
  /// Bytes of KV cache of all sessions together. When a call would pass it, sequences that have
  /// been idle for `idle_timeout` lose their caches, the longest idle first; then it is refused.
  std::int64_t kv_budget = std::int64_t{8} << 30;
  /// Bytes of tensors in one request, and in one reply.
  std::int64_t max_payload = std::int64_t{8} << 30;
  /// How long a runner may stop in the middle of a message, of its own or of one to it; 0: without
  /// limit.
  std::chrono::milliseconds stall_timeout{60'000};
  /// Bytes a second at which a message must move while the worker waits for it: one of n bytes ends
  /// after stall_timeout and n / least_rate of waiting. 0: without limit.
  double least_rate = 65536;
  /// How long a connection may take to say Hello (for its first byte, and for the rest of it); 0:
  /// without limit.
  std::chrono::milliseconds hello_timeout{10'000};
  /// Connections that have not said Hello yet; one more and the oldest of them is closed.
  int max_greeting = 16;
  /// After how long without a call a session may be closed for another runner's sake.
  std::chrono::milliseconds session_idle{300'000};
  /// call_cost of one turn on the backend: what cannot be computed in pieces of less is refused.
  double turn_cost = 16e12;
  /// After how long without a call a sequence's cache may be dropped for another's sake.
  std::chrono::milliseconds idle_timeout{60'000};
  /// Bytes of memory a runner may share in one session, over a shm: link; 0: none.
  std::int64_t shared_bytes = std::int64_t{4} << 30;

  /// What of these the SessionTable keeps.
  [[nodiscard]] SessionTable::Limits session_limits() const {
    return {max_sessions, kv_budget, idle_timeout, max_sequences, turn_cost, session_idle};
  }
};

/// Serves sessions on one thread each (three, if the runner keeps several calls under way); calls
/// of all sessions take turns on the backend. Thread-safe.
class Server {
 public:
  /// The backend must outlive the server. `fingerprint` is of the model it holds.
  Server(Backend& backend, const FingerprintBytes& fingerprint, const ServerOptions& options);
  /// serve() must have returned.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Takes runners until the listener is closed or its StopToken is stopped (which is not an
  /// error); sessions under way end then. Throws Error(kInternal) when the backend is lost, whose
  /// runner has been told why.
  void serve(Listener& listener);
  /// Serves one runner on the calling thread until it goes away, breaks the protocol, or the link
  /// is stopped. That runner may ask for the memory of the process. Throws as the other serve does.
  void serve(std::unique_ptr<Link> link);

  /// Of all sessions and the process.
  [[nodiscard]] WorkerStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace airlock
