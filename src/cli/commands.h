// The subcommands of `airlock`: each adds its flags to the app and runs in its callback.
// Results go to stdout, everything else to stderr; failures are thrown as airlock::Error.
#pragma once

namespace CLI {
class App;
}

namespace airlock {

void add_run_command(CLI::App& app);
void add_worker_command(CLI::App& app);
void add_plan_command(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_perplexity_command(CLI::App& app);
void add_report_command(CLI::App& app);
void add_synth_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_tokenize_command(CLI::App& app);
void add_detokenize_command(CLI::App& app);

}  // namespace airlock
