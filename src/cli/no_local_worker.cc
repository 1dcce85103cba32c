// In place of local_worker.cc and cmd_worker.cc in a build of the runner alone.
#include "airlock/core/error.h"
#include "cli/commands.h"
#include "cli/local_worker.h"

namespace airlock {

void require_local_worker(std::string_view remedy) {
  fail(ErrorCode::kInvalidArgument, "this build has no worker (AIRLOCK_WORKER=OFF): {}", remedy);
}

void require_local_device(const Device& /*device*/) {}

InprocWorkerLoader local_inproc_loader() {
  return {};
}

struct LocalModel::State {};

LocalModel::LocalModel(const std::filesystem::path& /*dir*/, const ComputeOptions& /*options*/) {
  require_local_worker("the whole model runs only in a build that has one");
}

LocalModel::~LocalModel() = default;

Operators& LocalModel::operators() noexcept {
  std::terminate();  // no object was ever made
}

void add_worker_command(CLI::App& /*app*/) {}

}  // namespace airlock
