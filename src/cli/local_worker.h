// What a program with a worker's half does in the runner's own process. A build without that half
// (AIRLOCK_WORKER=OFF, the trusted side alone) says so instead.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "airlock/core/device.h"
#include "airlock/launch/session.h"
#include "airlock/ops/operators.h"

namespace airlock {

/// Throws Error(kInvalidArgument) if this build has no worker; the error ends with `remedy`.
void require_local_worker(std::string_view remedy);
/// Throws Error(kUnsupported) if this build's worker cannot compute on `device`.
void require_local_device(const Device& device);
/// Of WorkerOptions::load_inproc; empty if this build has no worker.
InprocWorkerLoader local_inproc_loader();

/// A whole model in this process: what a split is compared with.
class LocalModel {
 public:
  /// Loads the checkpoint's weights, showing progress. Throws as require_local_worker,
  /// Checkpoint::open and make_backend do.
  LocalModel(const std::filesystem::path& dir, const ComputeOptions& options);
  ~LocalModel();
  LocalModel(const LocalModel&) = delete;
  LocalModel& operator=(const LocalModel&) = delete;

  [[nodiscard]] Operators& operators() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace airlock
