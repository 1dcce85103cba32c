// A whole split in one test process: runner, link, server, CPU backend.
#pragma once

#include <filesystem>
#include <memory>
#include <thread>
#include <utility>

#include "airlock/link/pair.h"
#include "airlock/model/checkpoint.h"
#include "airlock/model/fingerprint.h"
#include "airlock/remote/client.h"
#include "airlock/runner/runner_model.h"
#include "airlock/worker/checkpoint_source.h"
#include "airlock/worker/cpu/cpu_backend.h"
#include "airlock/worker/server.h"

#include "tests/support/link_pair.h"

namespace airlock::testing {

/// A checkpoint packed for the CPU, and a server of it.
class TestWorker {
 public:
  TestWorker(const std::filesystem::path& dir, DType compute_dtype, ServerOptions options = {})
      : source_(Checkpoint::open(dir)),
        fingerprint_(compute_fingerprint(*Checkpoint::open(dir))),
        backend_(make_cpu_backend(source_, backend_options(compute_dtype))),
        server_(*backend_, fingerprint_, options) {}

  [[nodiscard]] const Fingerprint& fingerprint() const { return fingerprint_; }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] Server& server() { return server_; }

 private:
  static CpuBackendOptions backend_options(DType compute_dtype) {
    CpuBackendOptions options;
    options.compute_dtype = compute_dtype;
    return options;
  }
  CheckpointSource source_;
  Fingerprint fingerprint_;
  std::unique_ptr<Backend> backend_;
  Server server_;
};

/// One runner's session with a TestWorker, its calls in `ledger`.
class TestSession {
 public:
  TestSession(TestWorker& worker, const ModelConfig& config)
      : TestSession(worker, config, ledger) {}
  /// Its calls in `sink`, which outlives it, and `ledger` stays empty.
  TestSession(TestWorker& worker, const ModelConfig& config, LedgerSink& sink)
      : TestSession(worker, config, sink, make_inproc_pair(), {}) {}
  /// Over another link, or with several calls under way.
  TestSession(TestWorker& worker, const ModelConfig& config, Transport transport,
              const ClientOptions& options)
      : TestSession(worker, config, ledger, testing::make_ends(transport), options) {}
  ~TestSession() {
    client_.reset();
    thread_.join();
  }
  TestSession(const TestSession&) = delete;
  TestSession& operator=(const TestSession&) = delete;

  [[nodiscard]] RemoteClient& client() { return *client_; }
  MemoryLedger ledger;

 private:
  using Ends = testing::Ends;
  TestSession(TestWorker& worker, const ModelConfig& config, LedgerSink& sink, Ends ends,
              const ClientOptions& options)
      : thread_([&worker, link = std::move(ends.second)]() mutable {
          worker.server().serve(std::move(link));
        }) {
    client_ = std::make_unique<RemoteClient>(std::move(ends.first), config, worker.fingerprint(),
                                             options, &sink);
  }
  std::thread thread_;
  std::unique_ptr<RemoteClient> client_;
};

}  // namespace airlock::testing
