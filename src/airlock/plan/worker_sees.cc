#include "airlock/plan/worker_sees.h"

#include <array>

#include "airlock/plan/lowering.h"
#include "airlock/plan/program_cursor.h"

namespace airlock {
namespace {

enum Visible : unsigned {
  kShowsPrompt = 1,
  kShowsHidden = 2,
  kShowsQkv = 4,
  kShowsScores = 8,
  kShowsMlp = 16,
  kShowsLogits = 32,
};

/// q, k and v come of the hidden states, o adds to them; so do the MLP's matrices.
unsigned shown_by(Weight weight) {
  switch (weight) {
    case Weight::kQ:
    case Weight::kK:
    case Weight::kV:
      return kShowsHidden | kShowsQkv;
    case Weight::kO:
      return kShowsHidden;
    case Weight::kGate:
    case Weight::kUp:
    case Weight::kDown:
      return kShowsHidden | kShowsMlp;
    default:
      fail(ErrorCode::kInternal, "{} is no matrix of a layer", weight_name(weight));
  }
}

/// Rows of int16 are plain; those of ring elements are masked, and so is what becomes of them.
unsigned shown_by_ring(const Call& call) {
  if (call.inputs[0].dtype != DType::kI16) return 0;
  unsigned shown = 0;
  for (const Weight weight : call.weights) {
    shown |= weight == Weight::kLmHead ? kShowsHidden | kShowsLogits : shown_by(weight);
  }
  return shown;
}

/// What a call, as it crosses, shows of its inputs, outputs and what the worker computes between.
unsigned shown_by(const Call& call) {
  switch (call.op) {
    case Op::kEmbedding:
      return kShowsPrompt | kShowsHidden;
    case Op::kBatchLinear: {
      unsigned shown = 0;
      for (const Weight weight : call.weights) shown |= shown_by(weight);
      return shown;
    }
    case Op::kMatmul:
    case Op::kFusedAttention:
    case Op::kFlashAttention:
      return kShowsQkv | kShowsScores;
    case Op::kAttentionBlock:
      return kShowsHidden | kShowsQkv | kShowsScores;
    case Op::kGatedMlp:
      return kShowsHidden | kShowsMlp;
    case Op::kLmHead:
      return kShowsHidden | kShowsLogits;
    case Op::kRingLinear:
      return shown_by_ring(call);
    case Op::kPadProduct:  // rows of a public matrix
      return 0;
    case Op::kInit:
      break;
  }
  fail(ErrorCode::kInternal, "{} is no operator of a program", op_name(call.op));
}

}  // namespace

const std::vector<std::string_view>& visible_things() {
  static const std::vector<std::string_view> words = {"prompt", "hidden", "qkv",
                                                      "scores", "mlp",    "logits"};
  return words;
}

std::vector<std::string> worker_sees(const Plan& plan) {
  // What calls show does not depend on their size.
  ModelConfig config;
  config.layers = config.hidden = config.heads = config.kv_heads = config.head_dim = 1;
  config.ffn = config.vocab = config.max_position = 1;
  const Batch token(Pass{0, 1, 1});
  unsigned shown = 0;
  visit_steps(build_program(config, plan), token, [&](const Visit& visit, int) {
    if (visit.step->kind != StepKind::kRemote) return;
    shown |= shown_by(lower_call(make_call(visit, config, token), plan));
  });
  std::vector<std::string> words;
  for (std::size_t i = 0; i < visible_things().size(); ++i) {
    if ((shown >> i & 1U) != 0) words.emplace_back(visible_things()[i]);
  }
  return words;
}

}  // namespace airlock
