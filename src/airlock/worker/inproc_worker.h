// A worker inside the runner's process, for `inproc:`: no second process, so nothing is kept from
// it.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "airlock/core/device.h"
#include "airlock/core/stop.h"
#include "airlock/link/link.h"
#include "airlock/model/fingerprint.h"

namespace airlock {

/// Loads the weights in `dir`, whose fingerprint is given, and returns what serves one runner on
/// the calling thread until it goes away. Copies of it are the same worker. Throws as
/// Checkpoint::open and make_backend do.
std::function<void(std::unique_ptr<Link>)> load_inproc_worker(const std::filesystem::path& dir,
                                                              const Fingerprint& fingerprint,
                                                              const ComputeOptions& options,
                                                              const StopToken& stop);

}  // namespace airlock
