#include "cli/local_worker.h"

#include "airlock/worker/checkpoint_source.h"
#include "airlock/worker/device.h"
#include "airlock/worker/inproc_worker.h"
#include "airlock/worker/local_operators.h"
#include "cli/progress.h"
#include "cli/signals.h"

namespace airlock {

void require_local_worker(std::string_view /*remedy*/) {}

void require_local_device(const Device& device) {
  require_device(device);
}

InprocWorkerLoader local_inproc_loader() {
  return load_inproc_worker;
}

struct LocalModel::State {
  State(const std::filesystem::path& dir, const ComputeOptions& options, Progress& packing)
      : source(Checkpoint::open(dir)),
        backend(
            make_backend(source, options, {.progress = packing.callback(), .stop = signal_stop()})),
        operators(*backend) {}

  CheckpointSource source;
  std::unique_ptr<Backend> backend;
  LocalOperators operators;
};

LocalModel::LocalModel(const std::filesystem::path& dir, const ComputeOptions& options) {
  Progress packing("preparing weights for the reference");
  ComputeOptions plain = options;
  plain.products = ProductKinds::kPlain;
  state_ = std::make_unique<State>(dir, plain, packing);
  packing.finish();
}

LocalModel::~LocalModel() = default;

Operators& LocalModel::operators() noexcept {
  return state_->operators;
}

}  // namespace airlock
