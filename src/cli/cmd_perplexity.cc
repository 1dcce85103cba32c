// airlock perplexity: what plans and wire dtypes cost in quality, on a held-out text.
#include <CLI/CLI.hpp>
#include <array>
#include <memory>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/core/terminal.h"
#include "airlock/engine/finite_logits.h"
#include "airlock/engine/perplexity.h"
#include "airlock/engine/token_pieces.h"
#include "airlock/launch/session.h"
#include "airlock/model/tokenizer.h"
#include "airlock/report/table.h"
#include "airlock/shield/secret_memory.h"
#include "cli/commands.h"
#include "cli/local_worker.h"
#include "cli/model_source.h"
#include "cli/output.h"
#include "cli/perplexity_table.h"
#include "cli/plan_flags.h"
#include "cli/progress.h"
#include "cli/shield_flags.h"
#include "cli/signals.h"
#include "cli/text_source.h"
#include "cli/worker_flags.h"

namespace airlock {
namespace {

struct PerplexityFlags {
  std::string model;
  std::string text;
  std::int64_t window = 0;
  std::int64_t stride = 0;
  std::int64_t max_tokens = 0;
  bool no_bos = false;
  std::string format = "table";
  bool per_token = false;
  PlanFlags plan;
  WorkerFlags worker;
  ShieldFlags shield;
};

/// The BOS, if the tokenizer puts one before a text.
std::optional<std::int64_t> leading_bos(const Tokenizer& tokenizer) {
  const auto ids = tokenizer.encode("", true);
  if (ids.empty() || tokenizer.bos() != ids.front()) return std::nullopt;
  return ids.front();
}

void warn_of_overflow(const std::string& name, const Plan& plan, const Quality& quality) {
  if (quality.not_finite == 0) return;
  say("{}: {}\n", name, not_finite_text(quality.not_finite, quality.tokens, plan));
}

void perplexity(const PerplexityFlags& flags) {
  require_local_worker("perplexity compares with the whole model, run by a build that has one");
  const TableFormat format = parse_table_format(flags.format);
  const std::vector<Plan> plans = flags.plan.plans();
  WorkerOptions worker = flags.worker.options();
  worker.compute.products = products_for(plans);
  forbid_core_dumps();  // before the text is read
  const std::string text = read_text(flags.text);
  const auto dir = checkpoint_dir(flags.model);
  const auto tokenizer = Tokenizer::load(dir);
  const ModelConfig config = load_config(dir);
  auto ids = token_ids(*tokenizer, config, text, false);
  if (flags.max_tokens > 0 && static_cast<std::int64_t>(ids.size()) > flags.max_tokens) {
    ids.resize(static_cast<std::size_t>(flags.max_tokens));
  }
  const auto bos = flags.no_bos ? std::nullopt : leading_bos(*tokenizer);
  if (bos && !ids.empty()) warn_of_two_bos(*tokenizer, std::array{*bos, ids.front()});
  PerplexityOptions options;
  options.window = flags.window > 0 ? flags.window : default_window(config);
  options.stride = flags.stride > 0 ? flags.stride : std::max<std::int64_t>(1, options.window / 2);
  // Impossible requests are refused before minutes of loading.
  check_windows(config, static_cast<std::int64_t>(ids.size()), bos.has_value(), options);

  const OpenModel open = open_model(dir, false);
  ComputeOptions exact;
  exact.dtype = DType::kF32;
  LocalModel reference(dir, exact);
  Progress loading(worker.uri.empty() ? "starting a worker" : "connecting to " + worker.uri);
  TrafficCounter counter;
  WorkerSession session(*open.model, open.fingerprint, worker, &counter);
  loading.finish();
  ShieldOptions shielding = flags.shield.options();
  shielding.progress = shield_progress(false);
  Shield shield(*open.model, open.fingerprint, for_plans(shielding, plans));
  std::vector<std::unique_ptr<ShieldedEndpoint>> shielded;
  const WelcomeMessage& welcome = session.worker();
  print_worker(worker, welcome);

  Progress progress(fmt::format("scoring {} tokens under {} plan{} and in one process", ids.size(),
                                plans.size(), plans.size() == 1 ? "" : "s"));
  options.progress = progress.callback();
  options.stop = signal_stop();
  const PerplexityResult result = measure_perplexity(
      *open.model, reference.operators(),
      [&](const Plan& plan) {
        shielded.push_back(std::make_unique<ShieldedEndpoint>(plan, session, worker, &shield));
        return shielded.back()->endpoint();
      },
      counter, plans, ids, bos, options);
  progress.finish();
  warn_of_overflow("in one process", find_plan("baseline"), result.reference);
  for (const PlanQuality& row : result.plans) {
    warn_of_overflow(row.plan.name, row.plan, row.quality);
  }
  if (flags.per_token) {
    TokenPieces pieces(*tokenizer);
    print_result(token_table(result, ids, pieces).render(format));
  } else {
    const PerplexityHeading heading = {flags.model, flags.text, options.window, options.stride,
                                       welcome.compute_dtype};
    print_result(perplexity_table(heading, result).render(format));
  }
  for (const PlanQuality& row : result.plans) {
    require(row.quality.not_finite < row.quality.tokens, ErrorCode::kProtocol,
            "plan {}: no logit could be scored", row.plan.name);
  }
}

}  // namespace

void add_perplexity_command(CLI::App& app) {
  auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* command =
      app.add_subcommand("perplexity", "Measure what plans cost in quality on a text");
  command->add_option("-m,--model", flags->model, "checkpoint folder, or a preset's name")
      ->required();
  command->add_option("--text", flags->text, "file with a text the model has not seen")->required();
  command
      ->add_option("--window", flags->window,
                   "tokens a window holds, BOS included; 0: 512 or the context trained on")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--stride", flags->stride,
                   "tokens from one window to the next; 0: half a window")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--max-tokens", flags->max_tokens, "cut the text after so many; 0: never")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--no-bos", flags->no_bos, "no BOS at the front of each window");
  command->add_option("--format", flags->format, "table, md, json, csv")->capture_default_str();
  command->add_flag("--per-token", flags->per_token,
                    "instead of the summary a row a token: position, id, text, and -log of its "
                    "probability in one process and under each plan");
  flags->plan.add_to(*command, "all", "plans to measure: presets with commas, or all");
  flags->worker.add_to(*command, true);
  flags->shield.add_to(*command);
  command->callback([flags] { perplexity(*flags); });
}

}  // namespace airlock
