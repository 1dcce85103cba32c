// The backend for a device. Builds without CUDA have everything here but the GPU itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "airlock/core/device.h"
#include "airlock/core/stop.h"
#include "airlock/worker/backend.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

/// Throws Error(kUnsupported) that says what is missing for `device`: CUDA in this build, a driver,
/// the GPU. Reads no weights, so that a worker finds out before it does.
void require_device(const Device& device);

struct LoadOptions {
  /// Called while weights are taken in with the bytes so far and in all. May be empty.
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};
  /// Ends that with Error(kInterrupted).
  StopToken stop = {};
};

/// Loads the weights of `source`, which outlives the backend. Throws as require_device and
/// make_cpu_backend or make_cuda_backend do.
std::unique_ptr<Backend> make_backend(WeightSource& source, const ComputeOptions& options,
                                      const LoadOptions& loading = {});

}  // namespace airlock
