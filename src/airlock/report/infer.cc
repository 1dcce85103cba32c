#include "airlock/report/infer.h"

#include <algorithm>
#include <array>

#include "airlock/core/error.h"
#include "airlock/plan/program.h"
#include "airlock/report/summary.h"

namespace airlock {
namespace {

/// The calls of one pass: begin, layer by layer, end.
struct PassCalls {
  std::span<const LedgerEntry> calls;
  bool logits = false;  ///< ends with LMHead
  std::int64_t tokens = 0;
};

std::vector<Op> remote_ops(const std::vector<Step>& steps) {
  std::vector<Op> ops;
  for (const Step& step : steps) {
    if (step.kind == StepKind::kRemote) ops.push_back(step.op);
  }
  return ops;
}

/// The knobs that the operators in a ledger imply; wire dtype as its calls say.
Plan plan_of(std::span<const LedgerEntry> calls) {
  std::array<bool, kOpCount> seen{};
  for (const LedgerEntry& e : calls) seen[static_cast<std::size_t>(e.op)] = true;
  const auto has = [&](Op op) { return seen[static_cast<std::size_t>(op)]; };
  Plan plan;
  plan.attention = has(Op::kAttentionBlock)   ? Attention::kBlock
                   : has(Op::kFlashAttention) ? Attention::kFlash
                   : has(Op::kFusedAttention) ? Attention::kFused
                   : has(Op::kMatmul)         ? Attention::kMatmul
                                              : Attention::kRunner;
  plan.mlp = has(Op::kGatedMlp) ? Mlp::kBlock : Mlp::kSplit;
  plan.embedding = has(Op::kEmbedding) ? Side::kWorker : Side::kRunner;
  plan.lm_head = has(Op::kLmHead) ? Side::kWorker : Side::kRunner;
  plan.wire_dtype = calls.front().wire_dtype;
  return plan;
}

/// Cuts a ledger into passes of `program`; empty if an operator or layer is not the one expected.
std::vector<PassCalls> cut_passes(std::span<const LedgerEntry> calls, const Program& program,
                                  int layers) {
  const std::vector<Op> begin = remote_ops(program.begin);
  const std::vector<Op> layer = remote_ops(program.layer);
  const std::vector<Op> end = remote_ops(program.end);
  std::vector<PassCalls> passes;
  std::size_t at = 0;
  const auto take = [&](const std::vector<Op>& ops, int index) {
    for (const Op op : ops) {
      if (at == calls.size() || calls[at].op != op || calls[at].layer != index) return false;
      ++at;
    }
    return true;
  };
  while (at < calls.size()) {
    const std::size_t first = at;
    if (!take(begin, -1)) return {};
    for (int i = 0; i < layers; ++i) {
      if (!take(layer, i)) return {};
    }
    const bool logits = !end.empty() && at < calls.size() && calls[at].op == end.front();
    if (logits && !take(end, -1)) return {};
    passes.push_back({calls.subspan(first, at - first), logits, 0});
  }
  return passes;
}

/// Works out dimensions from bytes; any division that leaves a rest means "not such a run".
class Dimensions {
 public:
  Dimensions(const Plan& plan, InferredRun& run) : plan_(plan), run_(run) {}

  /// Fills run.config and the passes' tokens. False if the bytes do not fit or reveal too little.
  bool infer(std::vector<PassCalls>& passes, const ModelConfig* known) {
    if (known != nullptr) {
      run_.config = *known;
    } else if (!hidden(passes)) {
      return false;
    }
    for (PassCalls& pass : passes) {
      const LedgerEntry& first = pass.calls[offset()];
      pass.tokens = rows(first.sent_bytes, run_.config.hidden);
      if (pass.tokens < 1) return false;
    }
    const bool all = known != nullptr;
    run_.knows_attention = all || plan_.attention != Attention::kBlock;
    run_.knows_heads = all || plan_.attention == Attention::kMatmul;
    run_.knows_mlp = all || plan_.mlp != Mlp::kBlock;
    run_.knows_vocab = all || plan_.lm_head == Side::kWorker;
    return all || layer_widths(passes.front());
  }

 private:
  [[nodiscard]] std::size_t offset() const { return plan_.embedding == Side::kWorker ? 1 : 0; }
  [[nodiscard]] std::int64_t row_bytes(std::int64_t columns) const {
    return TensorSpec{plan_.wire_dtype, {1, columns}}.bytes();
  }
  /// Rows of so many columns in `bytes`, 0 if it does not divide.
  [[nodiscard]] std::int64_t rows(std::int64_t bytes, std::int64_t columns) const {
    return bytes % row_bytes(columns) == 0 ? bytes / row_bytes(columns) : 0;
  }
  /// Columns of `tensors` equal tensors of `count` rows in `bytes` all together, 0 if none fits.
  [[nodiscard]] std::int64_t columns(std::int64_t bytes, std::int64_t count,
                                     std::int64_t tensors = 1) const {
    if (count < 1 || bytes % (count * tensors) != 0) return 0;
    const std::int64_t scale = row_bytes(0);  // int8 rows carry one
    const std::int64_t row = bytes / (count * tensors) - scale;
    const std::int64_t element = row_bytes(1) - scale;
    return row > 0 && row % element == 0 ? row / element : 0;
  }

  bool hidden(const std::vector<PassCalls>& passes) {
    ModelConfig& config = run_.config;
    const LedgerEntry& first = passes.front().calls.front();
    if (plan_.embedding == Side::kWorker) {
      if (first.sent_bytes % 8 != 0) return false;
      config.hidden = columns(first.received_bytes, first.sent_bytes / 8);
    }
    for (const PassCalls& pass : passes) {
      if (!pass.logits) continue;
      const LedgerEntry& head = pass.calls.back();  // of one row: the last position
      if (plan_.embedding == Side::kRunner) config.hidden = columns(head.sent_bytes, 1);
      config.vocab = columns(head.received_bytes, 1);
      break;
    }
    return config.hidden > 0;
  }

  bool layer_widths(const PassCalls& pass) {
    ModelConfig& config = run_.config;
    const std::int64_t n = pass.tokens;
    const std::span<const LedgerEntry> calls = pass.calls.subspan(offset());
    std::size_t mlp = 1;
    std::int64_t q = config.hidden;
    std::int64_t kv = config.hidden;
    if (plan_.attention != Attention::kBlock) {
      // BatchLinear(q, k, v), the operators of attention, BatchLinear(o)
      std::size_t o = 1;
      if (plan_.attention == Attention::kMatmul) o = 3;
      if (plan_.attention == Attention::kFused || plan_.attention == Attention::kFlash) o = 2;
      mlp = o + 1;
      q = columns(calls[o].sent_bytes, n);
      kv = columns(calls[0].received_bytes - n * row_bytes(q), n, 2);
    }
    config.ffn = config.hidden;
    if (plan_.mlp == Mlp::kSplit) config.ffn = columns(calls[mlp + 1].sent_bytes, n);
    if (q < 1 || kv < 1 || config.ffn < 1 || q % kv != 0) return false;
    // Without Matmul only widths matter, so one wide key head stands for however many there are.
    config.heads = q / kv;
    if (run_.knows_heads) {
      config.heads = rows(calls[1].received_bytes, n) / n;  // scores [heads, n, n]
      if (config.heads < 1 || q % config.heads != 0) return false;
    }
    config.head_dim = q / config.heads;
    if (kv % config.head_dim != 0) return false;
    config.kv_heads = kv / config.head_dim;
    return true;
  }

  const Plan& plan_;
  InferredRun& run_;
};

/// Groups passes into sequences. `whole`: without LMHead calls to go by, take every pass of more
/// than one token as a prompt of its own, else as a piece of one.
std::vector<SequenceLengths> sequences_of(std::span<const PassCalls> passes, bool has_logits, bool whole,
                                   std::int64_t& chunk) {
  std::vector<SequenceLengths> sequences;
  bool prefilling = false;
  chunk = 0;
  for (const PassCalls& pass : passes) {
    if (prefilling) {
      chunk = std::max(chunk, sequences.back().prompt);
      sequences.back().prompt += pass.tokens;
    } else if (sequences.empty() || pass.tokens > 1 || (has_logits && !pass.logits)) {
      sequences.push_back({pass.tokens, 1});
    } else {
      ++sequences.back().generated;
    }
    prefilling = has_logits ? !pass.logits : !whole && pass.tokens > 1;
  }
  // A chunk is the first piece of any sequence that has several.
  if (chunk > 0) chunk = passes.front().tokens;
  return sequences;
}

std::int64_t longest(const std::vector<SequenceLengths>& sequences) {
  std::int64_t most = 0;
  for (const SequenceLengths& s : sequences) most = std::max(most, s.prompt + s.generated);
  return most;
}

/// Passes the predictor would walk: a forged ledger must not make that many more than its calls.
std::int64_t passes_of(const InferredRun& run) {
  std::int64_t passes = 0;
  for (const SequenceLengths& s : run.sequences) {
    const std::int64_t piece = run.plan.chunk > 0 ? run.plan.chunk : s.prompt;
    passes += (s.prompt + piece - 1) / piece + s.generated - 1;
  }
  return passes;
}
}  // namespace

Traffic InferredRun::predict(const Plan& other) const {
  Traffic sum;
  for (const SequenceLengths& sequence : sequences) {
    const Traffic one = predict_traffic(config, other, sequence.prompt, sequence.generated);
    for (const OpTraffic& op : one.ops) {
      sum.add(op.op, op.sent_bytes, op.received_bytes, op.calls);
    }
  }
  return sum;
}

bool InferredRun::can_predict(const Plan& other) const noexcept {
  return (knows_attention || other.attention == Attention::kBlock) &&
         (knows_heads || other.attention != Attention::kMatmul) &&
         (knows_mlp || other.mlp == Mlp::kBlock) && (knows_vocab || other.lm_head == Side::kRunner);
}

std::optional<InferredRun> infer_run(std::span<const LedgerEntry> entries,
                                     const ModelConfig* known) {
  std::vector<LedgerEntry> calls;
  std::copy_if(entries.begin(), entries.end(), std::back_inserter(calls),
               [](const LedgerEntry& e) { return e.op != Op::kInit; });
  if (calls.empty()) return std::nullopt;
  int layers = 0;
  for (const LedgerEntry& e : calls) {
    if (e.wire_dtype != calls.front().wire_dtype || e.wire_dtype == DType::kI64)
      return std::nullopt;
    layers = std::max(layers, e.layer + 1);
  }
  InferredRun run;
  run.plan = plan_of(calls);
  if (layers == 0 || (known != nullptr && known->layers != layers)) return std::nullopt;
  run.config.layers = layers;
  std::vector<PassCalls> passes = cut_passes(calls, build_program(run.config, run.plan), layers);
  if (passes.empty() || !Dimensions(run.plan, run).infer(passes, known)) return std::nullopt;

  const Traffic measured = summarize(calls).traffic();
  const bool has_logits = run.plan.lm_head == Side::kWorker;
  bool fits = false;
  for (const bool whole : {true, false}) {
    run.sequences = sequences_of(passes, has_logits, whole, run.plan.chunk);
    if (known == nullptr) run.config.max_position = longest(run.sequences);
    fits = longest(run.sequences) <= run.config.max_position &&
           passes_of(run) <= static_cast<std::int64_t>(passes.size());
    if (!fits) continue;
    try {
      run.exact = run.predict(run.plan) == measured;
    } catch (const Error&) {
      return std::nullopt;  // dimensions no model has
    }
    if (run.exact) return run;
  }
  if (known == nullptr || !fits) return std::nullopt;
  return run;
}

}  // namespace airlock
