// airlock: a Llama model split between a trusted runner and an untrusted worker.
#include <CLI/CLI.hpp>
#include <cstring>
#include <exception>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/isa.h"
#include "airlock/core/terminal.h"
#include "airlock/core/threads.h"
#include "cli/commands.h"
#include "cli/number_checks.h"
#include "cli/output.h"
#include "cli/signals.h"

namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;
constexpr int kCheckFailed = 3;

int exit_code(airlock::ErrorCode code) {
  if (code == airlock::ErrorCode::kInvalidArgument) return kUsage;
  if (code == airlock::ErrorCode::kCheckFailed) return kCheckFailed;
  // What a shell reports of a program that the signal ended: stopped, or in a call of the system.
  const bool in_a_call = code == airlock::ErrorCode::kIo && airlock::caught_signal() != 0;
  if (code == airlock::ErrorCode::kInterrupted || in_a_call) return 128 + airlock::caught_signal();
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
  } catch (const CLI::RuntimeError& end) {
    return end.get_exit_code();  // a command has said what there was to say
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream complaint;
    const int code = app.exit(error, out, complaint);
    airlock::say("{}", complaint.str());
    airlock::print_result(out.str());
    return code == 0 ? 0 : kUsage;  // --help and --version are "errors" of code 0
  }
  return 0;
}

int complain(std::string_view text, int code) {
  airlock::say("airlock: {}\n", text);
  return code;
}

/// Where in a program's word a prompt begins; npos: it is the next word, or there is none.
std::size_t prompt_begins(const std::string& word, bool& next) {
  next = word == "--prompt";
  if (word.starts_with("--prompt=")) return 9;
  if (word.starts_with("--") || !word.starts_with('-')) return std::string::npos;
  // Behind other letters, too: -qp TEXT. What else has a p in it (-m) is overwritten in vain.
  const std::size_t p = word.find('p');
  next = p != std::string::npos && p + 1 == word.size();
  return p == std::string::npos || next ? std::string::npos : p + 1;
}

/// Every process of the machine can read a program's words (/proc/PID/cmdline): gives copies of
/// them, and overwrites in place what says a prompt.
std::vector<std::string> take_words(int argc, char** argv) {
  std::vector<std::string> words(argv, argv + argc);
  if (argc < 2 || (words[1] != "run" && words[1] != "tokenize")) return words;
  for (int i = 2; i < argc; ++i) {
    const std::string& word = words[static_cast<std::size_t>(i)];
    bool next = false;
    const std::size_t from = prompt_begins(word, next);
    if (from != std::string::npos) std::memset(argv[i] + from, '.', word.size() - from);
    if (next && i + 1 < argc) {
      ++i;
      std::memset(argv[i], '.', words[static_cast<std::size_t>(i)].size());
    }
  }
  return words;
}

/// What is opened later must not become standard input, output or error: those that are closed are
/// taken, so that reading or writing them fails as it does on a closed descriptor. False if they
/// cannot be.
bool occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (!occupy_standard_descriptors()) return kFailure;  // nowhere to say so
  airlock::ensure_passive_waiting(argv);
  airlock::catch_signals();
  try {
    static_cast<void>(airlock::isa());  // a wrong AIRLOCK_MAX_ISA is found out here
    return run(take_words(argc, argv));
  } catch (const airlock::Error& error) {
    return complain(error.what(), exit_code(error.code()));
  } catch (const std::bad_alloc&) {
    return complain("the system has no memory left", kFailure);
  } catch (const std::exception& error) {
    return complain(error.what(), kFailure);
  }
}
