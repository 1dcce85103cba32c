// airlock: a Llama model split between a trusted runner and an untrusted worker.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/isa.h"
#include "airlock/core/threads.h"
#include "airlock/report/table.h"
#include "cli/commands.h"
#include "cli/number_checks.h"
#include "cli/signals.h"

namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;
constexpr int kCheckFailed = 3;

int exit_code(airlock::ErrorCode code) {
  if (code == airlock::ErrorCode::kInvalidArgument) return kUsage;
  if (code == airlock::ErrorCode::kCheckFailed) return kCheckFailed;
  // What a shell reports of a program that the signal ended.
  if (code == airlock::ErrorCode::kInterrupted) return 128 + airlock::caught_signal();
  return kFailure;
}

int run(const std::vector<std::string>& words) {
  CLI::App app("Runs a Llama model split between a trusted runner and an untrusted worker.",
               "airlock");
  app.set_version_flag("--version", "airlock " AIRLOCK_VERSION);
  app.require_subcommand(1);
  airlock::add_run_command(app);
  airlock::add_worker_command(app);
  airlock::add_plan_command(app);
  airlock::add_bench_command(app);
  airlock::add_perplexity_command(app);
  airlock::add_report_command(app);
  airlock::add_synth_command(app);
  airlock::add_inspect_command(app);
  airlock::add_tokenize_command(app);
  airlock::add_detokenize_command(app);
  airlock::check_numbers(app);
  try {
    std::vector<const char*> arguments;
    for (const std::string& word : words) arguments.push_back(word.c_str());
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;  // --help and --version are "errors" of code 0
  }
  return 0;
}

int complain(std::string_view text, int code) {
  // File names and peers' words may hold control characters. Nobody may be reading: that is no
  // reason to die of it.
  std::fputs(fmt::format("airlock: {}\n", airlock::terminal_text(text)).c_str(), stderr);
  return code;
}

/// Every process of the machine can read a program's words (/proc/PID/cmdline): gives copies of
/// them, and overwrites in place what says a prompt.
std::vector<std::string> take_words(int argc, char** argv) {
  std::vector<std::string> words(argv, argv + argc);
  if (argc < 2 || words[1] != "run") return words;
  for (int i = 2; i < argc; ++i) {
    const std::string& word = words[static_cast<std::size_t>(i)];
    const bool next = word == "-p" || word == "--prompt";
    std::size_t from = std::string::npos;
    if (word.starts_with("-p") && !next) from = 2;
    if (word.starts_with("--prompt=")) from = 9;
    if (from != std::string::npos) std::memset(argv[i] + from, '.', word.size() - from);
    if (next && i + 1 < argc) {
      ++i;
      std::memset(argv[i], '.', words[static_cast<std::size_t>(i)].size());
    }
  }
  return words;
}

/// What is opened later must not become standard input, output or error: those that are closed are
/// taken, so that reading or writing them fails as it does on a closed descriptor.
void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) (void)::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_descriptors();
  airlock::ensure_passive_waiting(argv);
  airlock::catch_signals();
  int code = 0;
  try {
    static_cast<void>(airlock::isa());  // a wrong AIRLOCK_MAX_ISA is found out here
    code = run(take_words(argc, argv));
  } catch (const airlock::Error& error) {
    code = complain(error.what(), exit_code(error.code()));
  } catch (const std::bad_alloc&) {
    code = complain("the system has no memory left", kFailure);
  } catch (const std::exception& error) {
    code = complain(error.what(), kFailure);
  }
  // A full disk or a closed pipe shows only now.
  if (std::fflush(stdout) != 0 && code == 0) {
    code = complain("cannot write to standard output", kFailure);
  }
  return code;
}
