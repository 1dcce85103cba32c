// A whole model in this process: what a split is compared with.
#pragma once

#include <filesystem>
#include <memory>

#include "airlock/worker/backend.h"
#include "airlock/worker/checkpoint_source.h"

namespace airlock {

struct LocalModel {
  CheckpointSource source;
  std::unique_ptr<Backend> backend;

  /// Packs the checkpoint's weights for the CPU, showing progress. Throws as Checkpoint::open and
  /// make_cpu_backend do.
  LocalModel(const std::filesystem::path& dir, DType compute_dtype);
};

}  // namespace airlock
