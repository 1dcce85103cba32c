#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/core/terminal.h"
#include "airlock/model/config.h"
#include "airlock/report/html.h"
#include "airlock/report/ledger_file.h"
#include "airlock/report/perfetto.h"
#include "airlock/report/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/output_paths.h"

namespace airlock {
namespace {

/// File names without folder and ending where these tell the ledgers apart, else the paths.
std::vector<std::string> short_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const std::string& path : paths) {
    names.push_back(std::filesystem::path(path).stem().string());
    if (!seen.insert(names.back()).second) return paths;
  }
  return names;
}

struct ReportOptions {
  std::vector<std::string> ledgers;
  std::string model;
  std::string format = "table";
  std::string html;
  std::string perfetto;
};

void write_and_say(const std::string& path, std::string_view text) {
  write_file(path, text);
  say("wrote {} ({} bytes)\n", path, text.size());
}

void run_report(const ReportOptions& options) {
  const TableFormat format = parse_table_format(options.format);
  const std::vector<NamedPath> outputs = {{"--html", options.html},
                                          {"--perfetto", options.perfetto}};
  std::vector<NamedPath> inputs;
  for (const std::string& path : options.ledgers) inputs.push_back({"a ledger to read", path});
  check_outputs(outputs, inputs);
  if (!options.model.empty()) check_outside(outputs, options.model);
  std::optional<ModelConfig> config;
  if (!options.model.empty()) config = config_of(options.model);
  const std::vector<std::string> names = short_names(options.ledgers);
  std::vector<Ledger> ledgers;
  std::vector<Report> reports;
  for (const std::string& path : options.ledgers) {
    ledgers.push_back(read_ledger(path));
    reports.push_back(
        make_report(names[reports.size()], ledgers.back(), config ? &*config : nullptr));
    if (!reports.back().header) {
      say("{}: does not say model and plan (an older ledger): no prediction\n", path);
    } else if (!reports.back().run) {
      say("{}: these are not the calls of {} on {}: no prediction\n", path,
          reports.back().header->plan.name, config ? options.model : reports.back().header->model);
    }
  }
  print_result(render(reports, format));
  std::vector<NamedLedger> named;
  for (std::size_t i = 0; i < reports.size(); ++i)
    named.push_back({&reports[i], ledgers[i].entries});
  if (!options.html.empty()) write_and_say(options.html, render_html(named));
  if (!options.perfetto.empty()) write_and_say(options.perfetto, render_perfetto(named));
}
}  // namespace

void add_report_command(CLI::App& app) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand("report", "Read ledgers: what crossed and what it cost");
  command->add_option("ledgers", options->ledgers, "Ledger files; several are compared")
      ->required();
  command->add_option(
      "-m,--model", options->model,
      "Checkpoint folder or preset: predict from it, not from what the ledger says");
  command->add_option("--format", options->format, "table, md, json or csv")->capture_default_str();
  command->add_option("--html", options->html, "Write one self-contained page");
  command->add_option("--perfetto", options->perfetto, "Write a trace that ui.perfetto.dev opens");
  command->callback([options] { run_report(*options); });
}

}  // namespace airlock
