// A model opened by the runner, and sessions with a worker for it: its own child or one elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "airlock/launch/worker_process.h"
#include "airlock/link/link_shape.h"
#include "airlock/model/fingerprint.h"
#include "airlock/plan/plan.h"
#include "airlock/remote/client.h"
#include "airlock/runner/runner_model.h"
#include "airlock/worker/device.h"

namespace airlock {

/// How to reach a worker.
struct WorkerOptions {
  std::string uri;                        ///< of a running worker; empty: start one here
  Transport transport = Transport::kShm;  ///< of a worker started here; kInproc: in this process
  BackendOptions backend;                 ///< of a worker started here
  int threads = 0;                        ///< of a worker started here; 0: all
  std::string program;                    ///< the airlock program to start; empty: this one
  std::optional<LinkShape> shape;         ///< of the link: see link/shaped_link.h
  int lanes = 0;                          ///< calls under way; 0: 2 for a plan in chunks, else 1
  ClientOptions client;
  std::chrono::milliseconds connect_timeout{10'000};
};

/// The lanes to ask a worker for: `asked`, or, if that is 0, what fits the plan.
[[nodiscard]] int lanes_for(int asked, const Plan& plan) noexcept;

/// An open session. Move-free: make it in place. Not thread-safe.
class WorkerSession {
 public:
  /// Connects, or starts a worker process and waits until it has loaded the model. `ledger` may be
  /// null and must outlive the session. Throws what connect, WorkerProcess and RemoteClient throw.
  WorkerSession(const RunnerModel& model, const Fingerprint& fingerprint,
                const WorkerOptions& options, LedgerSink* ledger);
  ~WorkerSession();
  WorkerSession(const WorkerSession&) = delete;
  WorkerSession& operator=(const WorkerSession&) = delete;

  /// The worker's operators. An error that comes because our worker process ended says so.
  [[nodiscard]] Operators& operators() noexcept;
  [[nodiscard]] RemoteClient& client() noexcept { return *client_; }
  /// The link's kind: what figures measured once in a process hold for.
  [[nodiscard]] const std::string& link_kind() const noexcept { return kind_; }
  /// True if the worker runs on this machine's processors, as far as one can tell.
  [[nodiscard]] bool shares_cores() const noexcept;

 private:
  class InprocWorker;
  class Explaining;

  std::string kind_;
  bool on_gpu_;  ///< as far as is known
  std::unique_ptr<WorkerProcess> process_;
  std::unique_ptr<InprocWorker> inproc_;
  std::unique_ptr<RemoteClient> client_;
  std::unique_ptr<Explaining> operators_;
};

}  // namespace airlock
