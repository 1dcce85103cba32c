#include "airlock/worker/inproc_worker.h"

#include "airlock/worker/checkpoint_source.h"
#include "airlock/worker/device.h"
#include "airlock/worker/server.h"

namespace airlock {
namespace {

struct InprocWorker {
  InprocWorker(const std::filesystem::path& dir, const Fingerprint& fingerprint,
               const ComputeOptions& options, const StopToken& stop)
      : source(Checkpoint::open(dir)),
        backend(make_backend(source, options, {.stop = stop})),
        server(*backend, fingerprint, server_options(options)) {}

  static ServerOptions server_options(const ComputeOptions& options) {
    ServerOptions server;
    server.kv_budget = options.kv_bytes;
    return server;
  }

  CheckpointSource source;
  std::unique_ptr<Backend> backend;
  Server server;
};

}  // namespace

std::function<void(std::unique_ptr<Link>)> load_inproc_worker(const std::filesystem::path& dir,
                                                              const Fingerprint& fingerprint,
                                                              const ComputeOptions& options,
                                                              const StopToken& stop) {
  return [worker = std::make_shared<InprocWorker>(dir, fingerprint, options, stop)](
             std::unique_ptr<Link> link) { worker->server.serve(std::move(link)); };
}

}  // namespace airlock
