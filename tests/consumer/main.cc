// Predicts what a plan sends for the model in argv[1] and, with a worker at hand, feeds a prompt
// through it in this process.
#include <cstdio>
#include <exception>

#include <airlock/engine/engine.h>
#include <airlock/launch/session.h>
#include <airlock/plan/predict.h>
#ifdef WITH_WORKER
#include <airlock/worker/inproc_worker.h>
#endif

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const airlock::RunnerModel model(airlock::Checkpoint::open(argv[1]));
    const airlock::Plan& plan = airlock::find_plan("combined");
    const auto predicted = airlock::predict_traffic(model.config(), plan, 4, 1).total_bytes();
    std::printf("%lld bytes predicted\n", static_cast<long long>(predicted));
#ifdef WITH_WORKER
    airlock::WorkerOptions worker;
    worker.transport = airlock::Transport::kInproc;
    worker.load_inproc = airlock::load_inproc_worker;
    airlock::MemoryLedger ledger;
    airlock::WorkerSession session(model, airlock::compute_fingerprint(model.checkpoint()), worker,
                                   &ledger);
    airlock::Engine engine(model, plan, session.endpoint());
    airlock::Sequence sequence = engine.open();
    const std::int64_t prompt[] = {1, 2, 3, 4};
    const auto logits = engine.prefill(sequence, prompt);
    long long moved = 0;
    for (const airlock::LedgerEntry& entry : ledger.entries()) {
      if (entry.op != airlock::Op::kInit) moved += entry.sent_bytes + entry.received_bytes;
    }
    std::printf("%zu logits, %lld bytes moved\n", logits.size(), moved);
    return moved == predicted ? 0 : 1;
#endif
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
