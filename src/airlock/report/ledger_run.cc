#include "airlock/report/ledger_run.h"

#include <algorithm>

#include "airlock/ops/rules.h"
#include "airlock/plan/lowering.h"
#include "airlock/plan/program_cursor.h"

namespace airlock {
namespace {

/// Tokens of one run through all layers.
struct PassTokens {
  std::int64_t tokens = 0;
  bool logits = false;  ///< an LMHead call followed
};

/// The call that a pass begins with, as one token makes it.
struct Mark {
  Op op = Op::kInit;
  int layer = kNoLayer;
  std::int64_t sent = 0;
  std::int64_t received = 0;
  Op logits = Op::kInit;   ///< the call that ends a pass with logits, if one is made
  bool alone = true;       ///< no other call of the layer is of the same operator
  bool ambiguous = false;  ///< one is, and may look the same

  Mark(const ModelConfig& config, const Plan& plan) {
    const Batch token(Pass{0, 1, 1});
    visit_steps(build_program(config, plan), token, [&](const Visit& visit, int) {
      if (visit.step->kind == StepKind::kRemote) {
        add(config, lower_call(make_call(visit, config, token), plan));
      }
    });
  }

  void add(const ModelConfig& config, const Call& call) {
    const std::int64_t in = total_bytes(call.inputs);
    const std::int64_t out = total_bytes(infer_outputs(config, call));
    if (op == Op::kInit) {
      op = call.op;
      layer = call.layer;
      sent = in;
      received = out;
    } else if (call.layer == kNoLayer) {
      logits = call.op;
    } else if (call.op == op && call.layer == layer) {
      alone = false;
      ambiguous = ambiguous || in * received == out * sent;
    }
  }

  /// Where several calls of a layer are of one operator, this one is told by the widths of its
  /// tensors.
  [[nodiscard]] bool matches(const LedgerEntry& e) const {
    return e.op == op && e.layer == layer &&
           (alone || (e.sent_bytes % sent == 0 && e.received_bytes % received == 0 &&
                      e.sent_bytes / sent == e.received_bytes / received));
  }
  [[nodiscard]] bool gives_logits(const LedgerEntry& e) const {
    return logits != Op::kInit && e.op == logits && e.layer == kNoLayer;
  }
};

/// Groups passes into sequences. Without LMHead calls to go by, a whole chunk may have a next one.
std::vector<SequenceLengths> sequences_of(std::span<const PassTokens> passes, const Plan& plan) {
  const bool has_logits = plan.lm_head == Side::kWorker;
  std::vector<SequenceLengths> sequences;
  bool prefilling = false;
  for (const PassTokens& pass : passes) {
    if (prefilling) {
      sequences.back().prompt += pass.tokens;
    } else if (sequences.empty() || pass.tokens > 1 || (has_logits && !pass.logits)) {
      sequences.push_back({pass.tokens, 1});
    } else {
      ++sequences.back().generated;
    }
    prefilling = has_logits ? !pass.logits : pass.tokens == plan.chunk;
  }
  return sequences;
}

std::optional<LedgerRun> stated_run(const ModelConfig& config, const Plan& plan,
                                    std::span<const LedgerEntry> entries, const SideBySide& run) {
  const auto calls = static_cast<std::int64_t>(entries.size());
  if (run.prompt > config.max_position || run.generated > calls ||
      run.generated - 1 > config.max_position - run.prompt) {
    return std::nullopt;
  }
  const std::int64_t piece = plan.chunk > 0 ? plan.chunk : run.prompt;
  const std::int64_t prefills = ((run.prompt - 1) / piece + 1) * run.sequences;
  if (prefills + std::max<std::int64_t>(run.generated, 1) - 1 > calls) return std::nullopt;
  const SequenceLengths each{run.prompt, std::max<std::int64_t>(run.generated, 1)};
  return LedgerRun{config, plan, std::vector(static_cast<std::size_t>(run.sequences), each), run};
}
}  // namespace

Traffic LedgerRun::predict(const Plan& other) const {
  if (side_by_side) return predict_traffic(config, other, *side_by_side);
  Traffic sum;
  for (const SequenceLengths& sequence : sequences) {
    const Traffic one = predict_traffic(config, other, sequence.prompt, sequence.generated);
    for (const OpTraffic& op : one.ops) sum.add(op.op, op.sent_bytes, op.received_bytes, op.calls);
  }
  return sum;
}

std::optional<LedgerRun> find_run(const ModelConfig& config, const Plan& plan,
                                  std::span<const LedgerEntry> entries,
                                  const std::optional<SideBySide>& stated) {
  // The predictor walks passes: a forged ledger must not make it walk more than there are calls.
  if (stated) return stated_run(config, plan, entries, *stated);
  const Mark mark(config, plan);
  if (mark.ambiguous) return std::nullopt;
  std::vector<PassTokens> passes;
  for (const LedgerEntry& e : entries) {
    if (mark.gives_logits(e) && !passes.empty()) passes.back().logits = true;
    if (!mark.matches(e)) continue;
    if (e.sent_bytes == 0 || e.sent_bytes % mark.sent != 0) return std::nullopt;
    passes.push_back({e.sent_bytes / mark.sent, false});
  }
  if (passes.empty()) return std::nullopt;
  LedgerRun run{config, plan, sequences_of(passes, plan)};
  std::int64_t walked = 0;
  for (const SequenceLengths& s : run.sequences) {
    if (s.prompt + s.generated - 1 > config.max_position) return std::nullopt;
    const std::int64_t piece = plan.chunk > 0 ? plan.chunk : s.prompt;
    walked += (s.prompt - 1) / piece + s.generated;
  }
  if (walked > static_cast<std::int64_t>(entries.size())) return std::nullopt;
  return run;
}

}  // namespace airlock
