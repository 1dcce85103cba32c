// A whole model in this process: what a split is compared with.
#pragma once

#include <filesystem>
#include <memory>

#include "airlock/worker/checkpoint_source.h"
#include "airlock/worker/device.h"
#include "airlock/worker/local_operators.h"

namespace airlock {

struct LocalModel {
  CheckpointSource source;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<LocalOperators> operators;

  /// Loads the checkpoint's weights, showing progress. Throws as Checkpoint::open and make_backend
  /// do.
  LocalModel(const std::filesystem::path& dir, BackendOptions options);
};

}  // namespace airlock
