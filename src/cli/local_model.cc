#include "cli/local_model.h"

#include "cli/progress.h"
#include "cli/signals.h"

namespace airlock {

LocalModel::LocalModel(const std::filesystem::path& dir, BackendOptions options)
    : source(Checkpoint::open(dir)) {
  Progress packing("preparing weights for the reference");
  options.progress = packing.callback();
  options.stop = signal_stop();
  backend = make_backend(source, options);
  operators = std::make_unique<LocalOperators>(*backend);
  packing.finish();
}

}  // namespace airlock
