// From the -m flag to a checkpoint: a folder, or a preset that is synthesized once and kept.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "airlock/model/checkpoint.h"
#include "airlock/model/fingerprint.h"
#include "airlock/runner/runner_model.h"

namespace airlock {

/// Where what is made once is kept: $AIRLOCK_CACHE, else $XDG_CACHE_HOME/airlock, else
/// ~/.cache/airlock. Throws Error(kNotFound) if none is known.
std::filesystem::path cache_dir();

/// The folder itself if it is one; for a preset's name its synthesized checkpoint (random bf16
/// weights, seed 0) in cache_dir(), made now if it is not there; `quiet` shows no progress. Throws
/// Error(kNotFound), and as synthesize().
std::filesystem::path checkpoint_dir(const std::string& preset_or_dir, bool quiet = false);

/// How a ledger names the model of -m: the preset, or the folder without its path.
std::string model_name(const std::string& preset_or_dir);

/// A model the runner has opened and fingerprinted, showing the checkpoint's warnings and progress
/// unless `quiet`.
struct OpenModel {
  std::unique_ptr<RunnerModel> model;
  Fingerprint fingerprint;
};
OpenModel open_model(const std::filesystem::path& dir, bool quiet);

}  // namespace airlock
