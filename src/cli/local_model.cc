#include "cli/local_model.h"

#include "airlock/worker/cpu/cpu_backend.h"
#include "cli/progress.h"

namespace airlock {

LocalModel::LocalModel(const std::filesystem::path& dir, DType compute_dtype)
    : source(Checkpoint::open(dir)) {
  Progress packing("preparing weights for the reference");
  CpuBackendOptions options;
  options.compute_dtype = compute_dtype;
  options.progress = packing.callback();
  backend = make_cpu_backend(source, options);
  packing.finish();
}

}  // namespace airlock
