// A ledger as a real run of a plan would write it, made from the plan's program: bytes exact,
// times made up but deterministic.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "airlock/ops/rules.h"
#include "airlock/plan/lowering.h"
#include "airlock/plan/program_cursor.h"
#include "airlock/remote/ledger.h"
#include "airlock/report/ledger_file.h"

#include "tests/support/model_configs.h"

namespace airlock {

using testing::llama_1b;
using testing::odd_model;

/// Appends the calls of a batch. Each takes 1 ms and 1 ms per 10^6 bytes, a quarter of it in the
/// worker; 0.5 ms pass between calls.
inline void append_batch(std::vector<LedgerEntry>& ledger, const ModelConfig& config,
                         const Plan& plan, const Batch& batch) {
  const Program program = build_program(config, plan);
  ProgramCursor cursor(program, batch);
  for (Visit visit; cursor.next(visit);) {
    if (visit.step->kind != StepKind::kRemote) continue;
    const Call call = lower_call(make_call(visit, config, batch), plan);
    LedgerEntry e;
    e.call = static_cast<std::int64_t>(ledger.size());
    e.op = call.op;
    e.layer = call.layer;
    e.sent_bytes = total_bytes(call.inputs);
    e.received_bytes = total_bytes(infer_outputs(config, call));
    e.sent_wire_bytes = e.sent_bytes;
    e.received_wire_bytes = e.received_bytes;
    e.overhead_bytes = 200;
    if (!ledger.empty()) e.start_ms = ledger.back().start_ms + ledger.back().total_ms + 0.5;
    e.total_ms = 1 + static_cast<double>(e.sent_bytes + e.received_bytes) / 1e6;
    e.worker_ms = e.total_ms / 4;
    e.send_ms = e.total_ms / 4;
    e.receive_ms = e.total_ms / 4;
    e.encode_ms = e.total_ms / 8;
    e.decode_ms = e.total_ms / 8;
    e.link = "unix";
    e.wire_dtype = plan.wire_dtype;
    ledger.push_back(e);
  }
}

/// Appends the calls of one sequence.
inline void append_run(std::vector<LedgerEntry>& ledger, const ModelConfig& config,
                       const Plan& plan, std::int64_t prompt, std::int64_t generated) {
  for (const Pass& pass : make_passes(plan, prompt, generated)) {
    append_batch(ledger, config, plan, pass);
  }
}

/// The calls of sequences that prefill one after the other and then decode side by side.
inline std::vector<LedgerEntry> fake_side_by_side(const ModelConfig& config, const Plan& plan,
                                                  const SideBySide& run) {
  std::vector<LedgerEntry> ledger;
  for (int i = 0; i < run.sequences; ++i) append_run(ledger, config, plan, run.prompt, 1);
  for (std::int64_t at = 1; at < run.generated; ++at) {
    Batch batch;
    for (int i = 0; i < run.sequences; ++i) {
      batch.add({run.prompt + at - 1, 1, 1, static_cast<std::uint32_t>(i)});
    }
    append_batch(ledger, config, plan, batch);
  }
  return ledger;
}

inline std::vector<LedgerEntry> fake_ledger(const ModelConfig& config, const Plan& plan,
                                            std::int64_t prompt, std::int64_t generated = 1) {
  std::vector<LedgerEntry> ledger;
  append_run(ledger, config, plan, prompt, generated);
  return ledger;
}

/// Those calls as a ledger of that model and plan.
inline Ledger headed(const ModelConfig& config, const Plan& plan,
                     std::vector<LedgerEntry> entries) {
  return {LedgerHeader{"fake", "0123456789ab", config, plan, "unix"}, std::move(entries)};
}

inline Ledger headed(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                     std::int64_t generated = 1) {
  return headed(config, plan, fake_ledger(config, plan, prompt, generated));
}

}  // namespace airlock
