// An honest worker with a FakeBackend at the other end of a client's link.
#pragma once

#include <memory>
#include <thread>
#include <utility>

#include "airlock/worker/server.h"

#include "tests/support/fake_backend.h"
#include "tests/support/link_pair.h"
#include "tests/support/small_model.h"

namespace airlock::testing {

/// Serves one runner after another, each on a thread that ends with its runner.
class FakeWorker {
 public:
  explicit FakeWorker(const ModelConfig& config, const ServerOptions& options = {})
      : server_(with(backend, config), small_fingerprint(), options) {}
  FakeWorker(const FakeWorker&) = delete;
  FakeWorker& operator=(const FakeWorker&) = delete;
  ~FakeWorker() { join(); }

  /// The runner's end of a link; the runner before must be gone.
  std::unique_ptr<Link> dial(Transport transport) {
    join();
    auto ends = make_ends(transport);
    thread_ = std::thread(
        [this, end = std::move(ends.second)]() mutable { server_.serve(std::move(end)); });
    return std::move(ends.first);
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

  FakeBackend backend;

 private:
  static FakeBackend& with(FakeBackend& backend, const ModelConfig& config) {
    backend.model = config;
    return backend;
  }
  Server server_;
  std::thread thread_;
};

}  // namespace airlock::testing
