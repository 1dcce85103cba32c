// A model opened by the runner, and sessions with a worker for it: its own child or one elsewhere.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "airlock/core/device.h"
#include "airlock/core/stop.h"
#include "airlock/launch/worker_process.h"
#include "airlock/link/link_options.h"
#include "airlock/model/fingerprint.h"
#include "airlock/plan/plan.h"
#include "airlock/remote/client.h"
#include "airlock/runner/runner_model.h"

namespace airlock {

/// Loads the model in `dir` into a worker inside this process and returns what serves one runner
/// over a link, on the calling thread, until it goes away; `stop` ends the loading with
/// Error(kInterrupted). worker/inproc_worker.h has one.
using InprocWorkerLoader = std::function<std::function<void(std::unique_ptr<Link>)>(
    const std::filesystem::path& dir, const Fingerprint& fingerprint, const ComputeOptions& options,
    const StopToken& stop)>;

/// How to reach a worker.
struct WorkerOptions {
  std::string uri;                        ///< of a running worker; empty: start one here
  Transport transport = Transport::kShm;  ///< of a worker started here; kInproc: in this process
  ComputeOptions compute;                 ///< of a worker started here
  int threads = 0;                        ///< of a worker started here; 0: all
  std::string program;                    ///< the airlock program to start; empty: this one
  InprocWorkerLoader load_inproc;         ///< for kInproc; empty: there is no such worker
  int lanes = 0;                          ///< calls under way; 0: 2 for a plan in chunks, else 1
  ClientOptions client;
  LinkOptions link{.connect_timeout = std::chrono::seconds(10)};  ///< of this end
};

/// The lanes to ask a worker for: `asked`, or, if that is 0, what fits the plan.
[[nodiscard]] int lanes_for(int asked, const Plan& plan) noexcept;

/// An open session. Move-free: make it in place. Not thread-safe.
class WorkerSession {
 public:
  /// Connects, or starts a worker process and waits until it has loaded the model. `ledger` may be
  /// null and must outlive the session. Throws what connect, WorkerProcess and RemoteClient throw,
  /// and Error(kUnsupported) for kInproc without a loader.
  WorkerSession(const RunnerModel& model, const Fingerprint& fingerprint,
                const WorkerOptions& options, LedgerSink* ledger);
  ~WorkerSession();
  WorkerSession(const WorkerSession&) = delete;
  WorkerSession& operator=(const WorkerSession&) = delete;

  /// The worker's operators. An error that comes because our worker process ended says so.
  [[nodiscard]] Endpoint endpoint() const;
  /// What the worker said of itself.
  [[nodiscard]] const WelcomeMessage& worker() const noexcept { return client_->worker(); }
  /// What the link was found to do.
  [[nodiscard]] const LinkProfile& profile() const noexcept { return *client_->profile(); }
  /// The worker's memory. No call may be under way. Throws as Operators::submit does.
  [[nodiscard]] WorkerStats stats() { return client_->stats(); }
  /// Calls under way at most, as the worker agreed, and how many of them to use from now on (at
  /// first all). No call may be under way.
  [[nodiscard]] int most_lanes() const noexcept { return client_->most_lanes(); }
  [[nodiscard]] int lanes() const noexcept { return client_->lanes(); }
  void use_lanes(int lanes) { client_->use_lanes(lanes); }
  /// Where calls are recorded from now on; null: nowhere. Gives the one before.
  LedgerSink* exchange_ledger(LedgerSink* ledger) noexcept {
    return client_->exchange_ledger(ledger);
  }
  /// The link's kind: what figures measured once in a process hold for.
  [[nodiscard]] const std::string& link_kind() const noexcept { return kind_; }
  /// True if the worker runs on this machine's processors, as far as one can tell.
  [[nodiscard]] bool shares_cores() const noexcept;

 private:
  class InprocThread;
  class Explaining;

  std::string kind_;
  bool on_gpu_;  ///< as far as is known
  std::unique_ptr<WorkerProcess> process_;
  std::unique_ptr<InprocThread> inproc_;
  std::unique_ptr<RemoteClient> client_;
  std::unique_ptr<Explaining> operators_;
};

}  // namespace airlock
