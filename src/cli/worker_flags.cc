#include "cli/worker_flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <pwd.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/core/quantity.h"
#include "airlock/core/terminal.h"
#include "airlock/core/threads.h"
#include "airlock/link/scheme.h"
#include "cli/local_worker.h"
#include "cli/signals.h"

namespace airlock {
namespace {

std::int64_t parse_size(const std::string& text) {
  std::string bytes = text;
  const std::string error = CLI::AsSizeValue(/*kb_is_1000=*/true)(bytes);
  require(error.empty() && !bytes.empty() && bytes.size() < 19, ErrorCode::kInvalidArgument,
          "--shm-threshold: `{}` is not a number of bytes such as 4096, 4KiB or 10MB", text);
  return std::stoll(bytes);
}

/// "4KiB" or "4KiB,10MiB": the least and the most, which may be left out.
std::pair<std::int64_t, std::int64_t> parse_size_range(const std::string& text) {
  const std::size_t comma = text.find(',');
  const std::int64_t least = parse_size(text.substr(0, comma));
  if (comma == std::string::npos) return {least, std::numeric_limits<std::int64_t>::max()};
  const std::int64_t most = parse_size(text.substr(comma + 1));
  require(least <= most, ErrorCode::kInvalidArgument,
          "--shm-threshold: from {} to {} bytes, expected the smaller one first", least, most);
  return {least, most};
}

uid_t parse_user(const std::string& text) {
  uid_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && rest == end) return number;
  const passwd* const user = ::getpwnam(text.c_str());
  require(user != nullptr, ErrorCode::kInvalidArgument,
          "--worker-user: there is no user `{}` on this machine", text);
  return user->pw_uid;
}

}  // namespace

void WorkerFlags::add_to(CLI::App& app, bool one_link) {
  const std::string group = "Worker";
  one_link_ = one_link;
  if (one_link) {
    auto* uri = app.add_option("--worker", uri_,
                               "address of a running worker; without it one is started here");
    uri->group(group);
    app.add_option("--link", link_, "link to a worker started here: shm, unix, tcp, inproc")
        ->capture_default_str()
        ->excludes(uri)
        ->group(group);
    app.add_option(
           "--worker-user", worker_user_,
           "user (name or number) whose socket --worker or --dealer may name, besides you and root")
        ->group(group);
  }
  app.add_option("--shape", shape_,
                 "make the link as slow as another: BANDWIDTH[,RTT], such as 162MB/s,0.1ms; "
                 "memory is not shared then")
      ->group(group);
  device_.add_to(app, " of a worker started here", group);
  app.add_option("--threads", threads_, "threads of each side; 0: all cores")
      ->capture_default_str()
      ->group(group);
  app.add_option("--lanes", lanes_,
                 "calls under way at the same time; 0: 2 with --chunk, 1 without")
      ->capture_default_str()
      ->check(CLI::Range(0, HelloMessage::kMaxLanes))
      ->group(group);
  app.add_option("--shm-budget", shared_gib_, "GiB of memory shared over a shm link at most")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--shm-threshold", shared_sizes_,
                 "MIN or MIN,MAX: bytes of tensors that travel through shared memory, e.g. "
                 "4KiB,10MiB; without it MIN is measured and there is no MAX")
      ->group(group);
  app.add_option("--compress", compress_,
                 "tensors behind messages: none, zstd, or auto: where it pays (with --plan "
                 "auto: auto)")
      ->group(group);
  app.add_option("--timeout", timeout_s_,
                 "seconds a worker may stay silent, or a message not move; 0: without limit")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--least-rate", least_rate_,
                 "bandwidth below which a message under way counts as stalled; 0: any")
      ->capture_default_str()
      ->group(group);
}

WorkerOptions WorkerFlags::options() const {
  // What a worker in this process has to say of sessions is for who runs a worker.
  set_log_level(LogLevel::kWarning);
  WorkerOptions options;
  options.uri = uri_;
  options.transport = parse_link(link_);
  if (shape_) options.link.shape = parse_link_shape(*shape_);
  options.link.stop = signal_stop();
  if (!worker_user_.empty()) options.link.peer_user = parse_user(worker_user_);
  options.compute = device_.options();
  if (uri_.empty()) {
    require_local_worker(one_link_ ? "name a running one with --worker URI"
                                   : "this command starts one, in a build that has it");
    require_local_device(options.compute.device);
    options.load_inproc = local_inproc_loader();
  }
  set_threads(threads_);
  options.threads = threads_;
  options.lanes = lanes_;
  options.client.shared_bytes = bytes_of_gib("--shm-budget", shared_gib_);
  if (!shared_sizes_.empty()) {
    const auto [from, up_to] = parse_size_range(shared_sizes_);
    options.client.shared_from = from;
    options.client.shared_up_to = up_to;
  }
  if (!compress_.empty()) options.client.compress = parse_compress_mode(compress_);
  options.client.least_rate = parse_least_rate(least_rate_);
  // A link that is made slow on purpose may be slow.
  if (options.link.shape) {
    options.client.least_rate =
        std::min(options.client.least_rate, options.link.shape->bytes_per_second / 8);
  }
  options.client.call_timeout = time_of_seconds("--timeout", timeout_s_);
  if (options.client.call_timeout.count() > 0) {
    options.client.hello_timeout =
        std::min(options.client.hello_timeout, options.client.call_timeout);
  }
  return options;
}

WorkerOptions WorkerFlags::options_for_auto() const {
  WorkerOptions options = this->options();
  if (compress_.empty()) options.client.compress = CompressMode::kAuto;
  return options;
}

Transport parse_link(std::string_view name) {
  std::vector<std::string_view> names;
  for (const LinkScheme& scheme : link_schemes()) {
    if (scheme.pair == nullptr && !scheme.traits.same_process) continue;
    if (scheme.name == name) return scheme.transport;
    names.push_back(scheme.name);
  }
  fail(ErrorCode::kInvalidArgument, "unknown link `{}`{}, expected one of {}", name,
       suggest(name, names), fmt::join(names, ", "));
}

double parse_least_rate(const std::string& text) {
  if (text == "0") return 0;
  try {
    const double rate = parse_bandwidth(text);
    require(rate >= 1 && rate <= 1e12, ErrorCode::kInvalidArgument,
            "`{}`, expected 1 B/s to 1 TB/s", text);
    return rate;
  } catch (const Error& error) {
    fail(error.code(), "--least-rate: {}; 0: any", error.what());
  }
}

void print_worker(const WorkerOptions& options, const WelcomeMessage& worker) {
  say("worker: {}\n", worker.backend);
  if (options.uri.empty() && worker.compute_dtype != options.compute.dtype) {
    say("worker: this processor multiplies no {}; it computes in {}\n",
        dtype_name(options.compute.dtype), dtype_name(worker.compute_dtype));
  }
}

}  // namespace airlock
