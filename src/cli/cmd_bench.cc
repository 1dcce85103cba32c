// airlock bench: plans over links, measured against prediction and against no split at all.
#include <CLI/CLI.hpp>
#include <memory>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/core/terminal.h"
#include "airlock/engine/live_plan.h"
#include "airlock/engine/measure.h"
#include "airlock/report/ledger_file.h"
#include "airlock/report/table.h"
#include "cli/bench_table.h"
#include "cli/commands.h"
#include "cli/local_worker.h"
#include "cli/model_source.h"
#include "cli/output.h"
#include "cli/output_paths.h"
#include "cli/plan_flags.h"
#include "cli/probe_table.h"
#include "cli/progress.h"
#include "cli/shield_flags.h"
#include "cli/worker_flags.h"

namespace airlock {
namespace {

struct BenchFlags {
  std::string model;
  std::string links = "shm";
  std::string format = "table";
  std::string ledger_dir;
  bool reference = false;
  bool probe = false;
  MeasureOptions measure;
  PlanFlags plan;
  WorkerFlags worker;
  ShieldFlags shield;
};

std::vector<Transport> parse_links(std::string_view names) {
  std::vector<Transport> links;
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find(',', begin), names.size());
    links.push_back(parse_link(names.substr(begin, end - begin)));
    begin = end + 1;
  }
  return links;
}

void save_ledger(const std::string& dir, const std::string& model, const OpenModel& open,
                 const Measurement& measurement) {
  std::filesystem::create_directories(dir);
  FileLedger file(std::filesystem::path(dir) /
                  fmt::format("{}-{}.jsonl", measurement.plan.name, measurement.link));
  file.begin({model_name(model), short_form(open.fingerprint), open.model->config(),
              measurement.plan, measurement.link, measurement.ran});
  for (const LedgerEntry& entry : measurement.ledger) file.record(entry);
  file.close();
}

/// Figures of every link and of both sides, instead of plans.
void probe(const BenchFlags& flags) {
  const TableFormat format = parse_table_format(flags.format);
  const std::vector<Transport> links = parse_links(flags.links);
  WorkerOptions worker = flags.worker.options();
  const OpenModel open = open_model(checkpoint_dir(flags.model), false);
  std::vector<ProbeRow> rows;
  for (const Transport link : links) {
    worker.transport = link;
    WorkerSession session(*open.model, open.fingerprint, worker, nullptr);
    rows.push_back({std::string(transport_name(link)), session.profile(),
                    measure_host_rates(*open.model, session)});
  }
  print_result(probe_table(rows).render(format));
}

void bench(BenchFlags flags) {
  if (flags.probe) return probe(flags);
  if (!flags.ledger_dir.empty()) check_output_folder({"--ledger-dir", flags.ledger_dir});
  const TableFormat format = parse_table_format(flags.format);
  const std::vector<std::string> must_not_see = flags.plan.must_not_see();
  std::vector<std::optional<Plan>> plans;  // nothing: to be chosen
  for (Plan& plan : flags.plan.plans_beside_auto()) plans.emplace_back(std::move(plan));
  if (flags.plan.has_auto()) plans.emplace_back(std::nullopt);
  const std::vector<Transport> links = parse_links(flags.links);
  const WorkerOptions asked = flags.worker.options();
  // Impossible requests are refused before minutes of loading.
  const ModelConfig wanted = config_of(flags.model);
  for (const auto& plan : plans) {
    (void)predict_traffic(wanted, plan.value_or(Plan{}), flags.measure.tokens,
                          flags.measure.generated);
  }
  const auto dir = checkpoint_dir(flags.model);
  check_outside({{"--ledger-dir", flags.ledger_dir}}, dir);
  const OpenModel open = open_model(dir, false);
  std::optional<LocalModel> reference;
  if (flags.reference) reference.emplace(dir, asked.compute);

  ShieldOptions shielding = flags.shield.options();
  shielding.progress = shield_progress(false);
  std::vector<Plan> named;
  for (const auto& plan : plans) {
    // What is chosen may turn out to be any that the knobs allow.
    named.push_back(plan.value_or(find_plan("sealed")));
    if (!plan) named.back().soundness = flags.plan.knobs().soundness.value_or(31);
  }
  Shield shield(*open.model, open.fingerprint, for_plans(shielding, named));
  flags.measure.shield = &shield;

  std::vector<Measurement> measurements;
  for (const Transport link : links) {
    for (const auto& plan : plans) {
      Progress progress(
          fmt::format("{} over {}", plan ? plan->name : "auto", transport_name(link)));
      flags.measure.progress = progress.callback();
      WorkerOptions worker = plan ? asked : flags.worker.options_for_auto();
      worker.transport = link;
      if (plan) worker.compute.products = products_for(*plan);
      flags.measure.choose.reset();
      if (!plan) {
        flags.measure.choose = LiveRequest{flags.measure.tokens, flags.measure.generated,
                                           must_not_see, flags.plan.knobs(), worker.lanes};
      }
      measurements.push_back(measure(*open.model, open.fingerprint, plan.value_or(Plan{}), worker,
                                     flags.measure, reference ? &reference->operators() : nullptr));
      progress.finish();
      for (const std::string& line : measurements.back().why) say("auto: {}\n", line);
      if (!flags.ledger_dir.empty())
        save_ledger(flags.ledger_dir, flags.model, open, measurements.back());
    }
  }
  print_result(bench_table(flags.model, flags.measure.tokens, measurements).render(format));
  for (const Measurement& measurement : measurements) {
    require(measurement.traffic == measurement.predicted, ErrorCode::kInternal,
            "plan {} moved {} bytes, predicted were {}", measurement.plan.name,
            measurement.traffic.total_bytes(), measurement.predicted.total_bytes());
  }
}

}  // namespace

void add_bench_command(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = app.add_subcommand("bench", "Measure plans over links");
  command->add_option("-m,--model", flags->model, "checkpoint folder, or a preset's name")
      ->required();
  command->add_option("--tokens", flags->measure.tokens, "tokens to prefill")
      ->capture_default_str();
  command
      ->add_option("-n,--generate", flags->measure.generated,
                   "tokens to generate: the prefill gives the first")
      ->capture_default_str();
  command
      ->add_option("--sequences", flags->measure.sequences,
                   "sequences with that prompt that generate side by side")
      ->capture_default_str()
      ->check(CLI::Range(1, kMaxRanges));
  command->add_option("-r,--repetitions", flags->measure.repetitions, "runs after a warm-up")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--link", flags->links, "shm, unix, tcp, inproc, several with commas")
      ->capture_default_str();
  command->add_flag("--reference", flags->reference,
                    "also time the same plan in this process, on the same device, and the ratio");
  command->add_flag("--pads-ahead", flags->measure.pads_ahead,
                    "make a run's pads before it, as far as --pad-memory goes, and do not time it");
  command->add_flag("--probe", flags->probe,
                    "show what links and both sides do, as --plan auto measures it, and no plans");
  command->add_option("--ledger-dir", flags->ledger_dir,
                      "write each plan's last ledger into this folder");
  command->add_option("--format", flags->format, "table, md, json, csv")->capture_default_str();
  flags->plan.add_to(*command, "baseline",
                     "plans to measure: presets with commas, all, or auto: the fastest here");
  flags->plan.add_choice_to(*command);
  flags->worker.add_to(*command, false);
  flags->shield.add_to(*command);
  command->callback([flags] { bench(*flags); });
}

}  // namespace airlock
