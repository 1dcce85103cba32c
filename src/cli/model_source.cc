#include "cli/model_source.h"

#include <cstdlib>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/model/config.h"
#include "airlock/model/synth.h"
#include "airlock/model/tokenizer_synth.h"
#include "cli/progress.h"
#include "cli/signals.h"

namespace airlock {

std::filesystem::path cache_dir() {
  if (const char* dir = std::getenv("AIRLOCK_CACHE"); dir != nullptr && *dir != '\0') return dir;
  if (const char* dir = std::getenv("XDG_CACHE_HOME"); dir != nullptr && *dir != '\0') {
    return std::filesystem::path(dir) / "airlock";
  }
  const char* home = std::getenv("HOME");
  require(home != nullptr && *home != '\0', ErrorCode::kNotFound,
          "no folder to keep what is made once: set AIRLOCK_CACHE");
  return std::filesystem::path(home) / ".cache" / "airlock";
}

std::filesystem::path checkpoint_dir(const std::string& preset_or_dir, bool quiet) {
  std::error_code unseen;  // whoever opens the folder says what is wrong with it
  if (std::filesystem::is_directory(preset_or_dir, unseen)) return preset_or_dir;
  const auto preset = find_preset(preset_or_dir);
  if (!preset) {
    (void)config_of(preset_or_dir);  // throws with the list of presets, or why it cannot be read
    return preset_or_dir;
  }
  const std::filesystem::path dir = cache_dir() / preset_or_dir;
  if (std::filesystem::exists(dir / "config.json")) return dir;
  Progress progress(fmt::format("synthesizing {} in {}", preset_or_dir, dir.string()), quiet);
  SynthOptions options;
  options.tokenizer_json = make_byte_level_tokenizer_json(preset->vocab);
  options.progress = progress.callback();
  options.stop = signal_stop();
  synthesize(*preset, dir, options);
  progress.finish();
  return dir;
}

std::string model_name(const std::string& preset_or_dir) {
  std::error_code unseen;
  if (!std::filesystem::is_directory(preset_or_dir, unseen)) return preset_or_dir;
  const auto path = std::filesystem::canonical(preset_or_dir);
  return path.filename().string();
}

OpenModel open_model(const std::filesystem::path& dir, bool quiet) {
  auto checkpoint = Checkpoint::open(dir);
  if (!quiet) {
    for (const std::string& warning : checkpoint->warnings()) log_warning("{}", warning);
  }
  Progress progress("reading the model's fingerprint", quiet);
  OpenModel open;
  open.fingerprint = compute_fingerprint(*checkpoint, progress.callback(), signal_stop());
  open.model = std::make_unique<RunnerModel>(std::move(checkpoint));
  progress.finish();
  return open;
}

}  // namespace airlock
