#include "airlock/launch/session.h"

#include <thread>

#include "airlock/core/error.h"
#include "airlock/launch/known_by_kind.h"
#include "airlock/link/connect.h"
#include "airlock/link/pair.h"
#include "airlock/link/scheme.h"
#include "airlock/model/tensor_table.h"

namespace airlock {

/// A worker on a thread of this process, for `inproc:`.
class WorkerSession::InprocThread {
 public:
  InprocThread(const RunnerModel& model, const Fingerprint& fingerprint,
               const WorkerOptions& worker) {
    require(static_cast<bool>(worker.load_inproc), ErrorCode::kUnsupported,
            "there is no worker to load into this process: name one that runs");
    auto ends = make_inproc_pair(worker.link, {.stop = worker.link.stop});
    link_ = std::move(ends.first);
    thread_ = std::thread([serve = worker.load_inproc(model.checkpoint().dir(), fingerprint,
                                                      worker.compute, worker.link.stop),
                           link = std::move(ends.second)]() mutable { serve(std::move(link)); });
  }
  ~InprocThread() { thread_.join(); }
  InprocThread(const InprocThread&) = delete;
  InprocThread& operator=(const InprocThread&) = delete;

  std::unique_ptr<Link> take_link() { return std::move(link_); }

 private:
  std::unique_ptr<Link> link_;
  std::thread thread_;
};

namespace {

/// Throws an error that says more than `error`, if our worker process is the reason for it.
void explain(WorkerProcess* process, const Error& error) {
  const bool answered = dynamic_cast<const WorkerFailure*>(&error) != nullptr;
  if (answered || process == nullptr || error.code() != ErrorCode::kConnectionLost) return;
  const std::string end = process->how_it_ended();
  if (end.empty()) return;
  throw Error(error.code(), fmt::format("{}: the worker process {}", error.what(), end));
}

std::string gib(std::int64_t bytes) {
  return fmt::format("{}", static_cast<double>(bytes) / 0x1p30);
}

std::string least_rate(double bytes_per_second) {
  return bytes_per_second > 0 ? fmt::format("{}B/s", bytes_per_second) : "0";
}

/// Weights a second that a worker reads and prepares at least: a quarter of what the slowest disks
/// and processors in use do.
constexpr double kLeastLoadRate = 8e6;

/// How long a worker that we started may take to load its weights, which come before Welcome.
std::chrono::milliseconds load_timeout(const ClientOptions& client, const ModelConfig& config) {
  if (client.call_timeout.count() == 0) return client.call_timeout;
  const double seconds = static_cast<double>(count_elements(config)) / kLeastLoadRate;
  return client.call_timeout + std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1e3));
}

WorkerProcessOptions process_options(const RunnerModel& model, const Fingerprint& fingerprint,
                                     const WorkerOptions& options) {
  const ComputeOptions& compute = options.compute;
  WorkerProcessOptions process;
  process.program = options.program;
  process.transport = options.transport;
  process.link = options.link;
  process.arguments = {"-m",
                       model.checkpoint().dir().string(),
                       "--compute-dtype",
                       std::string(dtype_name(compute.dtype)),
                       "--products",
                       std::string(product_kinds_name(compute.products)),
                       "--device",
                       device_name(compute.device),
                       "--gpu-memory",
                       gib(compute.gpu_memory),
                       "--kv-budget",
                       gib(compute.kv_bytes),
                       "--fingerprint",
                       to_hex(fingerprint),
                       "--shm-budget",
                       gib(options.client.shared_bytes),
                       "--least-rate",
                       least_rate(options.client.least_rate)};
  if (compute.tf32) process.arguments.emplace_back("--tf32");
  if (options.threads > 0) {
    process.arguments.insert(process.arguments.end(),
                             {"--threads", std::to_string(options.threads)});
  }
  return process;
}

}  // namespace

int lanes_for(int asked, const Plan& plan) noexcept {
  // With one lane nothing overlaps; from three on, two cores and one link have nothing left to
  // fill.
  if (asked == 0) return plan.chunk > 0 ? 2 : 1;
  return asked;
}

/// Says how our worker process ended, where that is why a call failed.
class WorkerSession::Explaining final : public TransparentOperators {
 public:
  Explaining(RemoteClient& client, WorkerProcess* process)
      : TransparentOperators(client), process_(process) {}

 private:
  void failed(const Error& error) override { explain(process_, error); }
  WorkerProcess* process_;
};

namespace {

KnownByKind<LinkProfile>& known_profiles() {
  static KnownByKind<LinkProfile> known;
  return known;
}

std::string kind_of(const WorkerOptions& options) {
  std::string kind =
      options.uri.empty() ? std::string(transport_name(options.transport)) : options.uri;
  if (options.link.shape) {
    kind += ", " + to_string(*options.link.shape);
    if (options.client.compress != CompressMode::kNone) kind += ", compressed";
  }
  return kind;
}

}  // namespace

WorkerSession::WorkerSession(const RunnerModel& model, const Fingerprint& fingerprint,
                             const WorkerOptions& options, LedgerSink* ledger)
    : kind_(kind_of(options)),
      on_gpu_(options.uri.empty() && options.compute.device.kind == Device::Kind::kCuda) {
  ClientOptions client = options.client;
  if (!client.profile) client.profile = known_profiles().find(kind_);
  client.probe = !client.profile;
  std::unique_ptr<Link> link;
  if (!options.uri.empty()) {
    link = connect(parse_uri(options.uri), options.link);
  } else if (scheme_of(options.transport).traits.same_process) {
    inproc_ = std::make_unique<InprocThread>(model, fingerprint, options);
    link = inproc_->take_link();
  } else {
    process_ = std::make_unique<WorkerProcess>(process_options(model, fingerprint, options));
    link = process_->take_link();
    // It loads its weights before it answers; should it fail, the connection closes.
    client.hello_timeout = load_timeout(client, model.config());
  }
  try {
    client_ = std::make_unique<RemoteClient>(std::move(link), model.config(), fingerprint, client,
                                             ledger);
  } catch (const Error& error) {
    explain(process_.get(), error);
    throw;
  }
  known_profiles().keep(kind_, *client_->profile());
  operators_ = std::make_unique<Explaining>(*client_, process_.get());
}

// The client goes first: its end of the link is what tells the worker that the session is over.
WorkerSession::~WorkerSession() {
  operators_.reset();
  client_.reset();
}

Endpoint WorkerSession::endpoint() const {
  return Endpoint(*client_).through(*operators_);
}

bool WorkerSession::shares_cores() const noexcept {
  return !on_gpu_ && client_->link_traits().same_machine;
}

}  // namespace airlock
