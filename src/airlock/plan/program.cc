#include "airlock/plan/program.h"

#include <algorithm>

namespace airlock {
namespace {

using enum Slot;

Step remote(Op op, Slots inputs, Slots outputs, Weights weights = {}) {
  Step step;
  step.op = op;
  step.inputs = inputs;
  step.outputs = outputs;
  step.weights = weights;
  return step;
}

Step local(StepKind kind, Slots inputs, Slots outputs) {
  Step step;
  step.kind = kind;
  step.inputs = inputs;
  step.outputs = outputs;
  return step;
}

Step norm(StepKind kind, Weight weight, Slot output) {
  Step step = local(kind, {kHidden}, {output});
  step.weights = {weight};
  return step;
}

Step by_sequence(Step step) {
  step.by_sequence = true;
  return step;
}

RowRange make_range(const Pass& pass, std::uint32_t sequence) {
  return {sequence, static_cast<std::int32_t>(pass.tokens), pass.position};
}

void append_matmul_attention(std::vector<Step>& steps) {
  steps.push_back(by_sequence(local(StepKind::kSplitHeads, {kQ}, {kQHeads})));
  steps.push_back(by_sequence(local(StepKind::kRepeatHeads, {}, {kKHeads, kVHeads})));
  Step scores = remote(Op::kMatmul, {kQHeads, kKHeads}, {kScores});
  scores.transpose_b = true;
  steps.push_back(by_sequence(scores));
  steps.push_back(by_sequence(local(StepKind::kSoftmax, {kScores}, {kScores})));
  steps.push_back(by_sequence(remote(Op::kMatmul, {kScores, kVHeads}, {kMixedHeads})));
  steps.push_back(by_sequence(local(StepKind::kMergeHeads, {kMixedHeads}, {kMixed})));
}

void append_attention(Attention attention, std::vector<Step>& steps) {
  steps.push_back(norm(StepKind::kNorm, Weight::kInputNorm, kNormed));
  if (attention == Attention::kBlock) {
    steps.push_back(remote(Op::kAttentionBlock, {kNormed}, {kProjected}));
    return;
  }
  steps.push_back(
      remote(Op::kBatchLinear, {kNormed}, {kQ, kK, kV}, {Weight::kQ, Weight::kK, Weight::kV}));
  if (attention == Attention::kFlash) {
    steps.push_back(local(StepKind::kRotate, {}, {kQ, kK}));
  } else {
    steps.push_back(local(StepKind::kRotate, {}, {kQ}));
    steps.push_back(local(StepKind::kCache, {kK, kV}, {}));
  }
  switch (attention) {
    case Attention::kMatmul:
      append_matmul_attention(steps);
      break;
    case Attention::kFused:
      steps.push_back(by_sequence(local(StepKind::kRepeatRows, {}, {kKRows, kVRows})));
      steps.push_back(by_sequence(remote(Op::kFusedAttention, {kQ, kKRows, kVRows}, {kMixed})));
      break;
    case Attention::kFlash:
      steps.push_back(remote(Op::kFlashAttention, {kQ, kK, kV}, {kMixed}));
      break;
    case Attention::kRunner:
      steps.push_back(local(StepKind::kAttend, {kQ}, {kMixed}));
      break;
    case Attention::kBlock:
      break;
  }
  steps.push_back(remote(Op::kBatchLinear, {kMixed}, {kProjected}, {Weight::kO}));
}

void append_mlp(Mlp mlp, std::vector<Step>& steps) {
  steps.push_back(norm(StepKind::kNorm, Weight::kPostAttentionNorm, kNormed));
  if (mlp == Mlp::kBlock) {
    steps.push_back(remote(Op::kGatedMlp, {kNormed}, {kProjected}));
    return;
  }
  steps.push_back(remote(Op::kBatchLinear, {kNormed}, {kGate, kUp}, {Weight::kGate, Weight::kUp}));
  steps.push_back(local(StepKind::kActivate, {kGate, kUp}, {kActivated}));
  steps.push_back(remote(Op::kBatchLinear, {kActivated}, {kProjected}, {Weight::kDown}));
}

}  // namespace

Program build_program(const ModelConfig& config, const Plan& plan) {
  check_plan(plan);
  Program program;
  program.layers = static_cast<int>(config.layers);
  program.begin.push_back(plan.embedding == Side::kWorker
                              ? remote(Op::kEmbedding, {kIds}, {kHidden})
                              : local(StepKind::kEmbed, {kIds}, {kHidden}));
  append_attention(plan.attention, program.layer);
  program.layer.push_back(local(StepKind::kAdd, {kProjected}, {kHidden}));
  append_mlp(plan.mlp, program.layer);
  program.layer.push_back(local(StepKind::kAdd, {kProjected}, {kHidden}));
  program.end.push_back(norm(StepKind::kNormWanted, Weight::kFinalNorm, kLast));
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

bool has_runner_cache(const Program& program) noexcept {
  return std::any_of(program.layer.begin(), program.layer.end(),
                     [](const Step& step) { return step.kind == StepKind::kCache; });
}

bool is_by_sequence(Slot slot) noexcept {
  return slot == kQHeads || slot == kKHeads || slot == kVHeads || slot == kKRows ||
         slot == kVRows || slot == kScores || slot == kMixedHeads;
}

TensorSpec slot_spec(Slot slot, const ModelConfig& config, const Batch& batch, int pass) {
  const std::int64_t n = pass < 0 ? batch.tokens() : batch[pass].tokens;
  const std::int64_t r = pass < 0 ? batch.logit_rows() : batch[pass].logit_rows;
  const std::int64_t t = pass < 0 ? 0 : batch[pass].position + batch[pass].tokens;
  require(pass >= 0 || !is_by_sequence(slot), ErrorCode::kInternal,
          "slot {} holds rows of one sequence", static_cast<int>(slot));
  switch (slot) {
    case kIds:
      return {DType::kI64, {n}};
    case kHidden:
    case kNormed:
    case kProjected:
      return {DType::kF32, {n, config.hidden}};
    case kQ:
    case kMixed:
      return {DType::kF32, {n, config.q_dim()}};
    case kK:
    case kV:
      return {DType::kF32, {n, config.kv_dim()}};
    case kQHeads:
    case kMixedHeads:
      return {DType::kF32, {config.heads, n, config.head_dim}};
    case kKHeads:
    case kVHeads:
      return {DType::kF32, {config.heads, t, config.head_dim}};
    case kKRows:
    case kVRows:
      return {DType::kF32, {t, config.q_dim()}};
    case kScores:
      return {DType::kF32, {config.heads, n, t}};
    case kGate:
    case kUp:
    case kActivated:
      return {DType::kF32, {n, config.ffn}};
    case kLast:
      return {DType::kF32, {r, config.hidden}};
    case kLogits:
      return {DType::kF32, {r, config.vocab}};
  }
  fail(ErrorCode::kInternal, "unknown slot {}", static_cast<int>(slot));
}

Call make_call(const Visit& visit, const ModelConfig& config, const Batch& batch) {
  const Step& step = *visit.step;
  Call call;
  call.op = step.op;
  call.layer = visit.layer;
  call.weights = step.weights;
  call.transpose_b = step.transpose_b;
  if (step.op == Op::kFusedAttention) {  // keeps nothing, so it names no sequence
    call.ranges = {make_range(batch[visit.pass], 0)};
  } else if (step.op == Op::kFlashAttention || step.op == Op::kAttentionBlock) {
    for (const Pass& pass : batch) call.ranges.push_back(make_range(pass, pass.sequence));
  }
  for (const Slot slot : step.inputs) {
    call.inputs.push_back(slot_spec(slot, config, batch, visit.pass));
  }
  return call;
}

}  // namespace airlock
