// airlock run: a prompt through the split, text streamed as it comes.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/core/terminal.h"
#include "airlock/engine/generate.h"
#include "airlock/engine/live_plan.h"
#include "airlock/launch/session.h"
#include "airlock/model/tokenizer.h"
#include "airlock/report/ledger_file.h"
#include "airlock/report/text.h"
#include "airlock/shield/secret_memory.h"
#include "cli/commands.h"
#include "cli/logits_file.h"
#include "cli/model_source.h"
#include "cli/output_paths.h"
#include "cli/plan_flags.h"
#include "cli/progress.h"
#include "cli/run_output.h"
#include "cli/shield_flags.h"
#include "cli/signals.h"
#include "cli/text_source.h"
#include "cli/worker_flags.h"

namespace airlock {
namespace {

struct RunFlags {
  std::string model;
  std::string prompt;
  std::string prompt_file;
  std::int64_t max_prompt_tokens = 0;
  bool no_bos = false;
  TextGenerationOptions generation;
  bool print_ids = false;
  std::string ledger;
  std::string logits;
  bool quiet = false;
  PlanFlags plan;
  WorkerFlags worker;
  ShieldFlags shield;
};

/// Keeps entries for the table at the end and, if asked for, in a file.
class RunLedger final : public LedgerSink {
 public:
  explicit RunLedger(const std::string& path) {
    if (!path.empty()) file_ = std::make_unique<FileLedger>(path);
  }
  /// Before the first call, whose link is the header's.
  void begin(LedgerHeader header) { header_ = std::move(header); }
  void record(const LedgerEntry& entry) override {
    memory_.record(entry);
    if (!file_) return;
    if (header_) {
      header_->link = entry.link;
      file_->begin(*header_);
      header_.reset();
    }
    file_->record(entry);
  }
  void close() {
    if (file_) file_->close();
  }
  [[nodiscard]] const std::vector<LedgerEntry>& entries() const { return memory_.entries(); }

 private:
  MemoryLedger memory_;
  std::unique_ptr<FileLedger> file_;
  std::optional<LedgerHeader> header_;  ///< until it is written
};

std::vector<std::int64_t> encode(const Tokenizer& tokenizer, const ModelConfig& config,
                                 const RunFlags& flags) {
  auto ids = token_ids(tokenizer, config,
                       flags.prompt_file.empty() ? flags.prompt : read_text(flags.prompt_file),
                       !flags.no_bos);
  if (!flags.quiet && !flags.no_bos) warn_of_two_bos(tokenizer, ids);
  if (flags.max_prompt_tokens > 0 &&
      static_cast<std::int64_t>(ids.size()) > flags.max_prompt_tokens) {
    ids.resize(static_cast<std::size_t>(flags.max_prompt_tokens));
  }
  require(!ids.empty(), ErrorCode::kInvalidArgument, "the prompt is empty and {}",
          flags.no_bos ? "without a BOS there is nothing to start from"
                       : "this model has no BOS token to start from");
  return ids;
}

/// The plan of a run; a choice among plans waits for the session.
Plan only_plan(const PlanFlags& flags) {
  (void)flags.must_not_see();
  if (flags.is_auto()) return {};

  const std::vector<Plan> plans = flags.plans();
  require(plans.size() == 1, ErrorCode::kInvalidArgument,
          "--plan and --wire-dtype name {} plans, a run has one", plans.size());
  return plans.front();
}

void run(const RunFlags& flags) {
  forbid_core_dumps();  // before the prompt is read
  const std::string prompt_file = flags.prompt_file == "-" ? "/dev/stdin" : flags.prompt_file;
  check_outputs({{"--ledger", flags.ledger}, {"--logits", flags.logits}}, {{"-f", prompt_file}});
  Plan plan = only_plan(flags.plan);
  const bool chosen = flags.plan.is_auto();
  WorkerOptions worker = chosen ? flags.worker.options_for_auto() : flags.worker.options();
  if (flags.quiet) set_log_level(LogLevel::kError);
  if (!chosen) worker.compute.products = products_for(plan);
  ShieldOptions shielding = flags.shield.options();
  worker.client.lanes = chosen ? HelloMessage::kMaxLanes : lanes_for(worker.lanes, plan);
  const auto dir = checkpoint_dir(flags.model, flags.quiet);
  check_outside({{"--ledger", flags.ledger}, {"--logits", flags.logits}}, dir);
  const auto tokenizer = Tokenizer::load(dir);
  const ModelConfig config = load_config(dir);
  const auto ids = encode(*tokenizer, config, flags);
  const auto prompt = static_cast<std::int64_t>(ids.size());
  check_tokens(config, prompt, 0);
  // Bad flags first, before minutes of loading.
  TextGenerationOptions generating = flags.generation;
  std::optional<LogitsFile> logits;
  if (!flags.logits.empty()) {
    logits.emplace(flags.logits, config.vocab);
    generating.on_logits = [&](std::span<const float> row) { logits->add(row); };
  }
  TextGeneration generation(*tokenizer, config, ids, std::move(generating));

  RunLedger ledger(flags.ledger);
  const OpenModel open = open_model(dir, flags.quiet);
  Progress loading(worker.uri.empty() ? "starting a worker" : "connecting to " + worker.uri,
                   flags.quiet);
  WorkerSession session(*open.model, open.fingerprint, worker, &ledger);
  loading.finish();
  if (chosen) {
    const PlanChoice choice =
        choose_live_plan(*open.model, session,
                         {prompt, flags.generation.max_tokens, flags.plan.must_not_see(),
                          flags.plan.knobs(), worker.lanes});
    plan = choice.plan;
    if (!flags.quiet) say("{}\n", fmt::join(choice.why, "\n"));
  }
  ledger.begin({model_name(flags.model), short_form(open.fingerprint), config, plan, ""});
  shielding.progress = shield_progress(flags.quiet);
  Shield shield(*open.model, open.fingerprint, for_plans(shielding, {&plan, 1}));
  const ShieldedEndpoint shielded(plan, session, worker, &shield);
  shield.fill(prompt + flags.generation.max_tokens);
  if (!flags.quiet) {
    print_worker(worker, session.worker());
    say("plan {}: {} prompt tokens\n", plan.name, prompt);
  }

  auto prefill = std::make_unique<Progress>("prefill", flags.quiet);
  EngineOptions options;
  options.stop = signal_stop();
  options.progress = [&](std::int64_t layer, std::int64_t layers) {
    if (prefill) prefill->update(layer, layers);
  };
  Engine engine(*open.model, plan, shielded.endpoint(), options);
  RunOutput output(*tokenizer, flags.print_ids, flags.generation.logprobs.has_value());
  output.begin(ids);
  const auto on_token = [&](const GeneratedToken& token) {
    if (prefill) {
      prefill->finish();
      prefill.reset();
    }
    output.token(token);
  };
  Generation times;
  try {
    times = generate(engine, ids, generation, on_token);
  } catch (const Error& error) {
    // Who stops a run keeps what it had; one that fails replaces nothing.
    if (error.code() == ErrorCode::kInterrupted && logits && logits->rows() > 0) logits->publish();
    throw;
  }
  if (prefill) prefill->finish();
  output.end(generation);
  ledger.close();
  if (logits) logits->publish();

  if (flags.quiet) return;
  const auto generated = static_cast<std::int64_t>(generation.ids().size());
  say("prefill: {} tokens in {:.0f} ms ({:.1f} tok/s)", prompt, times.prefill_ms,
      static_cast<double>(prompt) / times.prefill_ms * 1e3);
  if (generated > 1) {
    say("; decode: {} tokens in {:.0f} ms ({:.1f} tok/s)", generated - 1, times.decode_ms,
        static_cast<double>(generated - 1) / times.decode_ms * 1e3);
  }
  say("\n\n{}",
      render(summarize(ledger.entries()), predict_traffic(config, plan, prompt, generated)));
}

void add_generation_flags(CLI::App& command, TextGenerationOptions& options) {
  SamplingOptions& sampling = options.sampling;
  command.add_option("-n,--tokens", options.max_tokens, "tokens to generate at most")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.add_option("--temp", sampling.temperature, "temperature; 0: greedy")
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "only the k likeliest; 0: all")
      ->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "only the likeliest that reach p")
      ->capture_default_str();
  command.add_option("--min-p", sampling.min_p, "only those p times as likely as the likeliest")
      ->capture_default_str();
  command
      .add_option("--repeat-penalty", sampling.repetition_penalty,
                  "divides positive logits of tokens that occurred, multiplies others; 1: none")
      ->capture_default_str();
  command.add_option("--seed", sampling.seed, "of the sampling")->capture_default_str();
  command.add_flag("--ignore-eos", options.ignore_eos, "go on past the end tokens");
  command.add_option("--stop", options.stop, "end before this text; may be given several times")
      ->allow_extra_args(false);
  command
      .add_option("--logprobs", options.logprobs,
                  fmt::format("JSON lines in place of the text: each token with its "
                              "log-probability and those of the N likeliest, 0 to {}",
                              kMaxTopLogprobs))
      ->check(CLI::Range(0, kMaxTopLogprobs));
}

}  // namespace

void add_run_command(CLI::App& app) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = app.add_subcommand("run", "Run a prompt and stream its continuation");
  command->add_option("-m,--model", flags->model, "checkpoint folder, or a preset's name")
      ->required();
  auto* prompt = command->add_option(
      "-p,--prompt", flags->prompt,
      "the prompt's text; for a moment every user of this machine can read it among the program's "
      "arguments (/proc/PID/cmdline), and a shell may keep it: -f does not show it");
  auto* file = command->add_option("-f,--file", flags->prompt_file,
                                   "file with the prompt's text; -: standard input");
  prompt->excludes(file);
  command
      ->add_option("--max-prompt-tokens", flags->max_prompt_tokens,
                   "cut the prompt after so many tokens; 0: never")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--no-bos", flags->no_bos,
                    "without the tokens that start every text: the prompt has them");
  add_generation_flags(*command, flags->generation);
  command->add_flag("--print-ids", flags->print_ids,
                    "JSON lines in place of the text: the ids of prompt and continuation");
  command->add_option("--logits", flags->logits,
                      "write what each token was chosen from, [tokens, vocabulary] f32 before "
                      "penalty and temperature, to this .npy file, for its owner alone");
  command->add_option("--ledger", flags->ledger, "write every call to this file as JSON lines");
  command->add_flag("-q,--quiet", flags->quiet, "only the text, and errors");
  flags->plan.add_to(*command, "sealed",
                     "the plan to run: a preset's name, or auto: the fastest here");
  flags->plan.add_choice_to(*command);
  flags->worker.add_to(*command, true);
  flags->shield.add_to(*command);
  command->callback([flags, prompt, file] {
    require(*prompt || *file, ErrorCode::kInvalidArgument,
            "no prompt: give one with -p, or a file with -f");
    run(*flags);
  });
}

}  // namespace airlock
