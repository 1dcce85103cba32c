#include "airlock/plan/program.h"

#include <algorithm>

namespace airlock {
namespace {

Step remote(Op op, Slots inputs, Slots outputs, Weights weights = {}, bool transpose_b = false) {
  return {StepKind::kRemote, op, weights, transpose_b, inputs, outputs};
}

Step local(StepKind kind, Slots inputs, Slots outputs) {
  return {kind, Op::kInit, {}, false, inputs, outputs};
}

void append_attention(Attention attention, std::vector<Step>& steps) {
  using enum Slot;
  steps.push_back(local(StepKind::kInputNorm, {kHidden}, {kNormed}));
  if (attention == Attention::kBlock) {
    steps.push_back(remote(Op::kAttentionBlock, {kNormed}, {kProjected}));
    return;
  }
  steps.push_back(
      remote(Op::kBatchLinear, {kNormed}, {kQ, kK, kV}, {Weight::kQ, Weight::kK, Weight::kV}));
  steps.push_back(attention == Attention::kFlash
                      ? local(StepKind::kRotate, {kQ, kK}, {kQ, kK})
                      : local(StepKind::kRotateAndCache, {kQ, kK, kV}, {kQ}));
  switch (attention) {
    case Attention::kMatmul:
      steps.push_back(local(StepKind::kSplitQueries, {kQ}, {kQHeads}));
      steps.push_back(local(StepKind::kRepeatHeads, {}, {kKHeads, kVHeads}));
      steps.push_back(remote(Op::kMatmul, {kQHeads, kKHeads}, {kScores}, {}, true));
      steps.push_back(local(StepKind::kSoftmax, {kScores}, {kScores}));
      steps.push_back(remote(Op::kMatmul, {kScores, kVHeads}, {kMixedHeads}));
      steps.push_back(local(StepKind::kMergeHeads, {kMixedHeads}, {kMixed}));
      break;
    case Attention::kFused:
      steps.push_back(local(StepKind::kRepeatRows, {}, {kKRows, kVRows}));
      steps.push_back(remote(Op::kFusedAttention, {kQ, kKRows, kVRows}, {kMixed}));
      break;
    case Attention::kFlash:
      steps.push_back(remote(Op::kFlashAttention, {kQ, kK, kV}, {kMixed}));
      break;
    case Attention::kRunner:
      steps.push_back(local(StepKind::kRunnerAttention, {kQ}, {kMixed}));
      break;
    case Attention::kBlock:
      break;
  }
  steps.push_back(remote(Op::kBatchLinear, {kMixed}, {kProjected}, {Weight::kO}));
}

void append_mlp(Mlp mlp, std::vector<Step>& steps) {
  using enum Slot;
  steps.push_back(local(StepKind::kPostNorm, {kHidden}, {kNormed}));
  if (mlp == Mlp::kBlock) {
    steps.push_back(remote(Op::kGatedMlp, {kNormed}, {kProjected}));
    return;
  }
  steps.push_back(remote(Op::kBatchLinear, {kNormed}, {kGate, kUp}, {Weight::kGate, Weight::kUp}));
  steps.push_back(local(StepKind::kActivate, {kGate, kUp}, {kActivated}));
  steps.push_back(remote(Op::kBatchLinear, {kActivated}, {kProjected}, {Weight::kDown}));
}

}  // namespace

Program build_program(const Plan& plan) {
  using enum Slot;
  check_plan(plan);
  Program program;
  program.begin.push_back(plan.embedding == Side::kWorker
                              ? remote(Op::kEmbedding, {kIds}, {kHidden})
                              : local(StepKind::kEmbed, {kIds}, {kHidden}));
  append_attention(plan.attention, program.layer);
  program.layer.push_back(local(StepKind::kAdd, {kProjected}, {kHidden}));
  append_mlp(plan.mlp, program.layer);
  program.layer.push_back(local(StepKind::kAdd, {kProjected}, {kHidden}));
  program.end.push_back(local(StepKind::kFinalNorm, {kHidden}, {kLast}));
  program.end.push_back(plan.lm_head == Side::kWorker
                            ? remote(Op::kLmHead, {kLast}, {kLogits})
                            : local(StepKind::kProject, {kLast}, {kLogits}));
  return program;
}

std::vector<Pass> make_passes(const Plan& plan, std::int64_t prompt, std::int64_t generated) {
  std::vector<Pass> passes;
  const std::int64_t piece = plan.chunk > 0 ? plan.chunk : prompt;
  for (std::int64_t position = 0; position < prompt; position += piece) {
    const std::int64_t tokens = std::min(piece, prompt - position);
    passes.push_back({position, tokens, position + tokens == prompt ? 1 : 0});
  }
  for (std::int64_t i = 1; i < generated; ++i) passes.push_back({prompt + i - 1, 1, 1});
  return passes;
}

TensorSpec slot_spec(Slot slot, const ModelConfig& config, const Pass& pass) {
  const std::int64_t n = pass.tokens;
  const std::int64_t t = pass.position + pass.tokens;
  switch (slot) {
    case Slot::kIds:
      return {DType::kI64, {n}};
    case Slot::kHidden:
    case Slot::kNormed:
    case Slot::kProjected:
      return {DType::kF32, {n, config.hidden}};
    case Slot::kQ:
    case Slot::kMixed:
      return {DType::kF32, {n, config.q_dim()}};
    case Slot::kK:
    case Slot::kV:
      return {DType::kF32, {n, config.kv_dim()}};
    case Slot::kQHeads:
    case Slot::kMixedHeads:
      return {DType::kF32, {config.heads, n, config.head_dim}};
    case Slot::kKHeads:
    case Slot::kVHeads:
      return {DType::kF32, {config.heads, t, config.head_dim}};
    case Slot::kKRows:
    case Slot::kVRows:
      return {DType::kF32, {t, config.q_dim()}};
    case Slot::kScores:
      return {DType::kF32, {config.heads, n, t}};
    case Slot::kGate:
    case Slot::kUp:
    case Slot::kActivated:
      return {DType::kF32, {n, config.ffn}};
    case Slot::kLast:
      return {DType::kF32, {pass.logit_rows, config.hidden}};
    case Slot::kLogits:
      return {DType::kF32, {pass.logit_rows, config.vocab}};
  }
  fail(ErrorCode::kInternal, "unknown slot {}", static_cast<int>(slot));
}

Call make_call(const Step& step, const ModelConfig& config, const Plan& plan, int layer,
               const Pass& pass) {
  Call call;
  call.op = step.op;
  call.layer = step.op == Op::kEmbedding || step.op == Op::kLmHead ? -1 : layer;
  call.weights = step.weights;
  call.transpose_b = step.transpose_b;
  if (is_attention(step.op)) {
    call.ranges = {{0, static_cast<std::int32_t>(pass.tokens), pass.position}};
  }
  call.reply_dtype = plan.wire_dtype;
  for (const Slot slot : step.inputs) {
    TensorSpec spec = slot_spec(slot, config, pass);
    if (spec.dtype == DType::kF32) spec.dtype = plan.wire_dtype;
    call.inputs.push_back(spec);
  }
  return call;
}

bool has_runner_cache(const Plan& plan) noexcept {
  return plan.attention == Attention::kMatmul || plan.attention == Attention::kFused ||
         plan.attention == Attention::kRunner;
}

}  // namespace airlock
