// airlock worker: holds a model and serves runners.
#include <CLI/CLI.hpp>
#include <memory>

#include <fmt/format.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/core/memory_budget.h"
#include "airlock/core/quantity.h"
#include "airlock/core/threads.h"
#include "airlock/link/connect.h"
#include "airlock/link/pair.h"
#include "airlock/link/scheme.h"
#include "airlock/model/fingerprint.h"
#include "airlock/worker/checkpoint_source.h"
#include "airlock/worker/descriptor_limit.h"
#include "airlock/worker/device.h"
#include "airlock/worker/server.h"
#include "cli/commands.h"
#include "cli/device_flags.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/worker_flags.h"

namespace airlock {
namespace {

struct WorkerCommandFlags {
  std::string model;
  std::string uri;
  DeviceFlags device;
  std::string fingerprint;
  int threads = 0;
  int serve_fd = -1;
  bool serve_shm = false;
  double shared_gib = 4;
  double stall_s = 60;
  double hello_s = 10;
  double idle_s = 60;
  double session_s = 300;
  double turn_tflop = 16;
  std::string least_rate = "64KiB/s";
  double payload_gib = 8;
  double memory_gib = 0;
  ServerOptions server;
};

/// A runner that starts a worker on its own checkpoint has read it already.
Fingerprint given_fingerprint(const std::string& hex) {
  Fingerprint fingerprint{};
  require(hex.size() == 2 * fingerprint.size() &&
              hex.find_first_not_of("0123456789abcdef") == std::string::npos,
          ErrorCode::kInvalidArgument, "--fingerprint takes {} hexadecimal digits",
          2 * fingerprint.size());
  for (std::size_t i = 0; i < fingerprint.size(); ++i) {
    fingerprint[i] = static_cast<std::uint8_t>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  }
  return fingerprint;
}

/// A worker that a signal ended in good order exits as a shell says it of one that died of it.
void end_as_signalled() {
  if (caught_signal() != 0) throw CLI::RuntimeError(128 + caught_signal());
}

void serve(WorkerCommandFlags flags) {
  const bool private_worker = flags.serve_fd >= 0;
  require(private_worker || !flags.uri.empty(), ErrorCode::kInvalidArgument,
          "no address: give one with --listen, e.g. unix:///tmp/airlock.sock");
  const ComputeOptions options = flags.device.options();
  require_device(options.device);
  set_log_name("worker");
  if (private_worker) set_log_level(LogLevel::kWarning);
  set_threads(flags.threads);
  flags.server.stall_timeout = time_of_seconds("--stall-timeout", flags.stall_s);
  flags.server.least_rate = parse_least_rate(flags.least_rate);
  flags.server.hello_timeout = time_of_seconds("--hello-timeout", flags.hello_s);
  flags.server.idle_timeout = time_of_seconds("--idle-timeout", flags.idle_s);
  flags.server.session_idle = time_of_seconds("--session-timeout", flags.session_s);
  flags.server.turn_cost = rate_of("--max-turn", flags.turn_tflop * 1e12);
  flags.server.kv_budget = options.kv_bytes;
  const std::int64_t asked_memory = bytes_of_gib("--memory", flags.memory_gib);
  flags.server.max_payload = bytes_of_gib("--max-payload", flags.payload_gib);
  flags.server.shared_bytes = bytes_of_gib("--shm-budget", flags.shared_gib);
  // An address that is taken is found out before the weights are read, not after.
  const LinkOptions link_options{.stop = signal_stop()};
  std::unique_ptr<Link> link;
  std::unique_ptr<Listener> listener;
  if (private_worker) {
    link = adopt_fd(flags.serve_fd, flags.serve_shm, link_options);
  } else {
    const Uri uri = parse_uri(flags.uri);
    require(!scheme_of(uri.transport).traits.same_process, ErrorCode::kInvalidArgument,
            "--listen {}: no other process can reach that", flags.uri);
    listener = listen(uri, link_options);
  }

  const auto checkpoint = Checkpoint::open(flags.model);
  if (!private_worker) {  // a runner that started it says them itself
    for (const std::string& warning : checkpoint->warnings()) log_warning("{}", warning);
  }
  Progress hashing("reading the model's fingerprint", private_worker);
  const Fingerprint fingerprint =
      flags.fingerprint.empty()
          ? compute_fingerprint(*checkpoint, hashing.callback(), signal_stop())
          : given_fingerprint(flags.fingerprint);
  hashing.finish();
  CheckpointSource source(checkpoint);
  Progress packing("preparing weights", private_worker);
  const auto backend =
      make_backend(source, options, {.progress = packing.callback(), .stop = signal_stop()});
  packing.finish();
  const std::int64_t memory = asked_memory > 0 ? asked_memory : default_memory();
  process_budget().allow_more(memory);

  if (!private_worker) {
    flags.server.max_sessions =
        make_room_for_sessions(flags.server.max_sessions, flags.server.max_greeting);
  }
  Server server(*backend, fingerprint, flags.server);
  if (private_worker) {
    server.serve(std::move(link));
    return end_as_signalled();
  }
  log_info("{}; {:.2f} GiB of weights; fingerprint {}", backend->description(),
           static_cast<double>(backend->weight_bytes()) / 0x1p30, short_form(fingerprint));
  log_info("{:.2f} GiB beside them for all sessions together",
           static_cast<double>(memory) / 0x1p30);
  log_info("listening on {}", listener->local_uri().to_string());
  server.serve(*listener);
  log_info("ended");
  end_as_signalled();
}

}  // namespace

void add_worker_command(CLI::App& app) {
  auto flags = std::make_shared<WorkerCommandFlags>();
  CLI::App* command = app.add_subcommand("worker", "Hold a model and serve runners");
  command->add_option("-m,--model", flags->model, "checkpoint folder")->required();
  command->add_option("--listen", flags->uri, "shm:///path, unix:///path or tcp://host:port");
  flags->device.add_to(*command, "", "");
  command->add_option("--threads", flags->threads, "0: all cores")->capture_default_str();
  command->add_option("--max-sessions", flags->server.max_sessions, "runners at the same time")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--max-sequences", flags->server.max_sequences,
                   "sequences of one runner, each with a KV cache")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--max-payload", flags->payload_gib, "GiB of tensors in one message")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--memory", flags->memory_gib,
                   "GiB for all sessions together, beside the weights: messages, scratch, shared "
                   "memory, KV caches; 0: 3/4 of what machine and control group leave")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--shm-budget", flags->shared_gib,
                   "GiB of memory that each runner may share over shm:; 0: none")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--stall-timeout", flags->stall_s,
                   "seconds a runner may stop in mid-message; 0: without limit")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--least-rate", flags->least_rate,
                   "bandwidth below which a message under way counts as stopped; 0: any")
      ->capture_default_str();
  command
      ->add_option("--hello-timeout", flags->hello_s,
                   "seconds a connection may take to say Hello; 0: without limit")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--session-timeout", flags->session_s,
                   "seconds without a call after which a runner may lose its place to another")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--max-turn", flags->turn_tflop,
                   "TFLOP for which a call may hold the worker while others wait")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--idle-timeout", flags->idle_s,
                   "seconds after which an idle sequence's KV cache may make room for another's")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  // How a runner starts a worker of its own; hidden from the help.
  command->add_option("--serve-fd", flags->serve_fd)->group("");
  command->add_flag("--serve-shm", flags->serve_shm)->group("");
  command->add_option("--fingerprint", flags->fingerprint)->group("");
  command->callback([flags] { serve(*flags); });
}

}  // namespace airlock
