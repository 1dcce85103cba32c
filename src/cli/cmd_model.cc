// airlock synth and airlock inspect: make a checkpoint of random weights, and look at one.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/model/config.h"
#include "airlock/model/inspect.h"
#include "airlock/model/synth.h"
#include "airlock/model/tokenizer_synth.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/signals.h"

namespace airlock {
namespace {

struct SynthFlags {
  std::string preset;
  std::string dir;
  std::uint64_t seed = 0;
  std::optional<std::int64_t> layers;
  std::string dtype = "bf16";
};

void synth(const SynthFlags& flags) {
  std::optional<ModelConfig> config = find_preset(flags.preset);
  require(config.has_value(), ErrorCode::kInvalidArgument,
          "unknown preset `{}`{}, expected one of {}", flags.preset,
          suggest(flags.preset, preset_names()), fmt::join(preset_names(), ", "));
  if (flags.layers) {
    require(*flags.layers >= 1 && *flags.layers <= config->layers, ErrorCode::kInvalidArgument,
            "--layers {}: {} has 1 to {}", *flags.layers, flags.preset, config->layers);
    config->layers = *flags.layers;
  }
  Progress progress(fmt::format("synthesizing {} in {}", flags.preset, flags.dir));
  SynthOptions options;
  options.seed = flags.seed;
  options.dtype = parse_dtype(flags.dtype);
  options.tokenizer_json = make_byte_level_tokenizer_json(config->vocab);
  options.progress = progress.callback();
  options.stop = signal_stop();
  synthesize(*config, flags.dir, options);
  progress.finish();
}

struct InspectFlags {
  std::string dir;
  std::string format = "table";
  bool fingerprint = false;
};

void inspect_dir(const InspectFlags& flags) {
  const auto checkpoint = Checkpoint::open(flags.dir);
  Progress progress("reading the model's fingerprint", !flags.fingerprint);
  InspectOptions options;
  options.fingerprint = flags.fingerprint;
  options.progress = progress.callback();
  options.stop = signal_stop();
  const CheckpointSummary summary = inspect(*checkpoint, options);
  progress.finish();
  print_result(flags.format == "json" ? to_json(summary) : to_text(summary));
}

}  // namespace

void add_synth_command(CLI::App& app) {
  auto flags = std::make_shared<SynthFlags>();
  CLI::App* command = app.add_subcommand("synth", "Make a checkpoint of random weights");
  command->add_option("preset", flags->preset, fmt::format("{}", fmt::join(preset_names(), ", ")))
      ->required();
  command->add_option("dir", flags->dir, "folder to make it in")->required();
  command->add_option("--seed", flags->seed, "of the weights")->capture_default_str();
  command->add_option("--layers", flags->layers,
                      "the first so many only, to measure a layer of a model too large to hold");
  command->add_option("--dtype", flags->dtype, "bf16, f16, f32")->capture_default_str();
  command->callback([flags] { synth(*flags); });
}

void add_inspect_command(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand("inspect", "Check a checkpoint and say what it is");
  command->add_option("dir", flags->dir, "checkpoint folder")->required();
  command->add_flag("--fingerprint", flags->fingerprint, "also hash every weight");
  command->add_option("--format", flags->format, "table, json")
      ->capture_default_str()
      ->check(CLI::IsMember({"table", "json"}));
  command->callback([flags] { inspect_dir(*flags); });
}

}  // namespace airlock
