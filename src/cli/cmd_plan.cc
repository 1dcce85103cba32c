#include <CLI/CLI.hpp>
#include <memory>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/core/quantity.h"
#include "airlock/core/terminal.h"
#include "airlock/model/config.h"
#include "airlock/plan/auto_plan.h"
#include "airlock/plan/cost.h"
#include "airlock/report/plan_table.h"
#include "airlock/shield/prepared.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/plan_flags.h"

namespace airlock {
namespace {

struct PlanOptions {
  std::string model;
  std::int64_t tokens = 1024;
  std::int64_t generated = 0;
  PlanFlags plan;
  std::string bandwidth;
  std::string rtt;
  std::string worker_rate;
  std::string runner_rate;
  double pad_rate = 0;
  double check_rate = 0;
  double shield_rate = 0;
  std::string format = "table";
};

PlanRow choose(const ModelConfig& config, const PlanOptions& options, const HostRates& rates) {
  AutoRequest request;
  request.prompt = options.tokens;
  request.generated = options.generated;
  request.rates = rates;
  request.must_not_see = options.plan.must_not_see();
  request.fixed = options.plan.knobs();
  PlanChoice choice = choose_plan(config, request);
  for (const std::string& line : choice.why) say("{}\n", line);
  return {std::move(choice.plan), std::move(choice.traffic), std::nullopt};
}

void run_plan(const PlanOptions& options) {
  const TableFormat format = parse_table_format(options.format);
  HostRates rates;
  const bool timed = !options.bandwidth.empty() || !options.rtt.empty();
  if (!options.bandwidth.empty()) {
    rates.send_rate = rates.receive_rate = parse_bandwidth(options.bandwidth);
  }
  if (!options.rtt.empty()) rates.rtt_ms = parse_duration_ms(options.rtt);
  if (!options.worker_rate.empty()) rates.worker = {{1, parse_compute_rate(options.worker_rate)}};
  if (!options.runner_rate.empty()) rates.runner_flops = parse_compute_rate(options.runner_rate);
  rates.pad_values = rate_of("--pad-rate", options.pad_rate);
  rates.check_values = rate_of("--check-rate", options.check_rate);
  rates.shield_values = rate_of("--shield-rate", options.shield_rate);
  const bool compute = !rates.worker.empty() || rates.runner_flops > 0;
  (void)options.plan.must_not_see();  // refused without --plan auto
  const ModelConfig config = config_of(options.model);

  std::vector<PlanRow> rows;
  if (options.plan.is_auto()) {
    rows.push_back(choose(config, options, rates));
  } else {
    for (Plan& plan : options.plan.plans()) {
      Traffic traffic = predict_traffic(config, plan, options.tokens, options.generated);
      rows.push_back({std::move(plan), std::move(traffic), std::nullopt});
    }
  }
  for (PlanRow& row : rows) {
    row.prepared_bytes = predict_prepared(config, row.plan, {}, options.tokens, options.generated);
    row.pad_rows = predict_pad_rows(config, row.plan, options.tokens, options.generated);
  }
  for (PlanRow& row : rows) {
    if (!timed && !compute) break;
    row.time = plan_stages(config, row.plan, options.tokens, options.generated, rates).sum();
  }
  print_result(
      plan_table(rows, options.model, options.tokens, options.generated, compute).render(format));
  if (format != TableFormat::kText) return;
  if (timed) {
    say("time on link: calls * rtt + bytes sent / bandwidth + bytes received / bandwidth, since "
        "calls follow one another\n");
  }
  say("what the worker sees, it sees in plaintext; where it sees nothing, that rests on what the "
      "plan assumes\n");
}
}  // namespace

void add_plan_command(CLI::App& app) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "Predict what plans send, without weights");
  command->add_option("-m,--model", options->model, "Checkpoint folder or preset")->required();
  command->add_option("--tokens", options->tokens, "Tokens to prefill")->capture_default_str();
  command->add_option("-n,--generate", options->generated, "Tokens to generate")
      ->capture_default_str();
  options->plan.add_to(*command, "all", "Presets (a,b), all, or auto: the fastest");
  command->add_option("--bandwidth", options->bandwidth, "Of the link, e.g. 162MB/s or 10Gbit/s");
  command->add_option("--rtt", options->rtt, "Round trip of the link, e.g. 0.1ms or 20us");
  command->add_option("--worker-rate", options->worker_rate,
                      "Arithmetic of the worker, e.g. 400GFLOP/s");
  command->add_option("--runner-rate", options->runner_rate, "Arithmetic of the runner");
  const auto add_values = [&](const char* flag, double& rate, const char* what) {
    command->add_option(flag, rate, std::string("Values a second that the runner ") + what)
        ->check(CLI::NonNegativeNumber);
  };
  add_values("--pad-rate", options->pad_rate, "makes lattice pads of, e.g. 1e9");
  add_values("--check-rate", options->check_rate, "checks");
  add_values("--shield-rate", options->shield_rate, "quantizes and masks, or unmasks");
  options->plan.add_choice_to(*command);
  command->add_option("--format", options->format, "table, md, json or csv")->capture_default_str();
  command->callback([options] { run_plan(*options); });
}

}  // namespace airlock
