#include "airlock/runner/executor.h"

#include <chrono>
#include <cmath>

#include "airlock/core/error.h"
#include "airlock/core/interrupt.h"
#include "airlock/math/activation.h"
#include "airlock/math/convert.h"
#include "airlock/math/elementwise.h"
#include "airlock/math/flash_attention.h"
#include "airlock/math/heads.h"
#include "airlock/math/repeat_rows.h"
#include "airlock/math/rms_norm.h"
#include "airlock/math/softmax.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

/// Products in the runner (attention, LM head) take the precision their inputs travelled in.
DType product_dtype(const Plan& plan) {
  return plan.wire_dtype == DType::kBF16 ? DType::kBF16 : DType::kF32;
}

/// Only the runner's own attention reads the cache as it is; the others send it on from f32.
DType cache_dtype(const Plan& plan) {
  return plan.attention == Attention::kRunner ? product_dtype(plan) : DType::kF32;
}

float attention_scale(const ModelConfig& config) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
}
}  // namespace

Executor::Executor(const RunnerModel& model, const Plan& plan, Operators& operators,
                   ExecutorOptions options)
    : model_(model),
      plan_(plan),
      program_(build_program(plan)),
      operators_(operators),
      options_(std::move(options)),
      rope_(model.config().head_dim, model.config().rope_theta, model.config().rope_scaling) {
  if (has_runner_cache(plan)) {
    cache_ = std::make_unique<KvCache>(model.config(), cache_dtype(plan), pool_);
  }
  if (plan.lm_head == Side::kRunner)
    lm_head_ = std::make_unique<RunnerLmHead>(model.checkpoint(), product_dtype(plan));
}

Executor::~Executor() = default;

std::span<const float> Executor::run(const Pass& pass, std::span<const std::int64_t> ids) {
  const ModelConfig& config = model_.config();
  require(pass.tokens >= 1 && static_cast<std::int64_t>(ids.size()) == pass.tokens &&
              pass.logit_rows >= 0 && pass.logit_rows <= pass.tokens && pass.position >= 0,
          ErrorCode::kInvalidArgument, "a pass of {} tokens with {} ids and {} rows of logits",
          pass.tokens, ids.size(), pass.logit_rows);
  require(pass.tokens <= config.max_position && pass.position <= config.max_position - pass.tokens,
          ErrorCode::kInvalidArgument,
          "{} tokens at position {} pass the model's context of {} tokens", pass.tokens,
          pass.position, config.max_position);
  for (const std::int64_t id : ids) {
    require(id >= 0 && id < config.vocab, ErrorCode::kInvalidArgument,
            "token id {} is outside the vocabulary of {}", id, config.vocab);
  }
  run_steps(program_.begin, -1, pass, ids);
  for (int layer = 0; layer < config.layers; ++layer) {
    throw_if_interrupted();
    if (options_.progress) options_.progress(layer, config.layers);
    run_steps(program_.layer, layer, pass, ids);
  }
  if (options_.progress) options_.progress(config.layers, config.layers);
  if (pass.logit_rows == 0) return {};
  run_steps(program_.end, -1, pass, ids);
  return {floats(Slot::kLogits, pass), static_cast<std::size_t>(pass.logit_rows * config.vocab)};
}

void Executor::run_steps(const std::vector<Step>& steps, int layer, const Pass& pass,
                         std::span<const std::int64_t> ids) {
  for (const Step& step : steps) {
    if (step.kind == StepKind::kRemote) {
      run_remote(step, layer, pass, ids);
    } else {
      const auto begin = Clock::now();
      run_local(step, layer, pass, ids);
      local_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    }
  }
}

void Executor::run_remote(const Step& step, int layer, const Pass& pass,
                          std::span<const std::int64_t> ids) {
  const Call call = make_call(step, model_.config(), plan_, layer, pass);
  std::array<ConstTensor, kMaxTensors> inputs;
  std::array<Tensor, kMaxTensors> outputs;
  for (int i = 0; i < step.inputs.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (step.inputs[i] == Slot::kIds) {
      inputs[at] = {slot_spec(Slot::kIds, model_.config(), pass),
                    reinterpret_cast<const std::byte*>(ids.data())};
    } else {
      inputs[at] = slot(step.inputs[i], pass);
    }
  }
  for (int i = 0; i < step.outputs.size(); ++i) {
    outputs[static_cast<std::size_t>(i)] = slot(step.outputs[i], pass);
  }
  operators_.execute(call, std::span(inputs).first(static_cast<std::size_t>(step.inputs.size())),
                     std::span(outputs).first(static_cast<std::size_t>(step.outputs.size())));
}

void Executor::run_local(const Step& step, int layer, const Pass& pass,
                         std::span<const std::int64_t> ids) {
  const ModelConfig& config = model_.config();
  const std::int64_t n = pass.tokens;
  const std::int64_t t = pass.position + n;
  const auto eps = static_cast<float>(config.rms_norm_eps);
  switch (step.kind) {
    case StepKind::kRemote:
      break;
    case StepKind::kEmbed:
      model_.embed(ids, floats(Slot::kHidden, pass));
      break;
    case StepKind::kInputNorm:
      rms_norm(floats(Slot::kHidden, pass), model_.input_norm(layer), eps, n, config.hidden,
               floats(Slot::kNormed, pass));
      break;
    case StepKind::kPostNorm:
      rms_norm(floats(Slot::kHidden, pass), model_.post_norm(layer), eps, n, config.hidden,
               floats(Slot::kNormed, pass));
      break;
    case StepKind::kFinalNorm:
      rms_norm(floats(Slot::kHidden, pass) + (n - pass.logit_rows) * config.hidden,
               model_.final_norm(), eps, pass.logit_rows, config.hidden, floats(Slot::kLast, pass));
      break;
    case StepKind::kRotate:
      rope_.apply(floats(Slot::kQ, pass), n, config.heads, pass.position);
      rope_.apply(floats(Slot::kK, pass), n, config.kv_heads, pass.position);
      break;
    case StepKind::kRotateAndCache:
      rotate_and_cache(layer, pass);
      break;
    case StepKind::kSplitQueries:
      split_heads(floats(Slot::kQ, pass), n, config.heads, config.head_dim,
                  floats(Slot::kQHeads, pass), n * config.head_dim, 0);
      break;
    case StepKind::kRepeatHeads:
    case StepKind::kRepeatRows:
      repeat_cached(step, layer, pass);
      break;
    case StepKind::kSoftmax:
      causal_softmax(floats(Slot::kScores, pass), config.heads, n, t, pass.position,
                     attention_scale(config));
      break;
    case StepKind::kMergeHeads:
      merge_heads(floats(Slot::kMixedHeads, pass), config.heads, n, config.head_dim,
                  floats(Slot::kMixed, pass));
      break;
    case StepKind::kRunnerAttention:
      runner_attention(layer, pass);
      break;
    case StepKind::kActivate:
      silu_mul(floats(Slot::kGate, pass), floats(Slot::kUp, pass), n * config.ffn,
               floats(Slot::kActivated, pass));
      break;
    case StepKind::kAdd:
      add(floats(Slot::kHidden, pass), floats(Slot::kProjected, pass), n * config.hidden);
      break;
    case StepKind::kProject:
      lm_head_->run(floats(Slot::kLast, pass), pass.logit_rows, floats(Slot::kLogits, pass));
      break;
  }
}

void Executor::rotate_and_cache(int layer, const Pass& pass) {
  const ModelConfig& config = model_.config();
  const std::int64_t n = pass.tokens;
  rope_.apply(floats(Slot::kQ, pass), n, config.heads, pass.position);
  cache_->prepare(layer, pass.position, n);
  const float* k = floats(Slot::kK, pass);
  const std::int64_t stride = cache_->head_stride(layer);
  if (cache_->dtype() == DType::kBF16) {
    rope_.apply_to_heads(k, n, config.kv_heads, pass.position,
                         static_cast<BF16*>(cache_->keys(layer)), stride, pass.position);
  } else {
    rope_.apply_to_heads(k, n, config.kv_heads, pass.position,
                         static_cast<float*>(cache_->keys(layer)), stride, pass.position);
  }
  cache_->write_values(layer, slot(Slot::kV, pass));
  cache_->commit(layer, n);
}

void Executor::repeat_cached(const Step& step, int layer, const Pass& pass) {
  const ModelConfig& config = model_.config();
  const auto repeat = step.kind == StepKind::kRepeatRows ? repeat_rows : repeat_heads;
  const std::int64_t context = pass.position + pass.tokens;
  const std::int64_t group = config.heads / config.kv_heads;
  const std::int64_t stride = cache_->head_stride(layer);
  repeat(static_cast<const float*>(cache_->keys(layer)), config.kv_heads, stride, group, context,
         config.head_dim, floats(step.outputs[0], pass));
  repeat(static_cast<const float*>(cache_->values(layer)), config.kv_heads, stride, group, context,
         config.head_dim, floats(step.outputs[1], pass));
}

void Executor::runner_attention(int layer, const Pass& pass) {
  const ModelConfig& config = model_.config();
  const std::int64_t width = config.q_dim();
  FlashAttentionArgs args;
  args.dtype = cache_->dtype();
  args.out_dtype = DType::kF32;
  args.q = {floats(Slot::kQ, pass), width, config.head_dim};
  if (args.dtype == DType::kBF16) {
    const auto bytes = static_cast<std::size_t>(pass.tokens * width) * sizeof(BF16);
    if (narrow_queries_.size() < bytes) narrow_queries_ = pool_.acquire(bytes);
    convert(ConstTensor(slot(Slot::kQ, pass)),
            Tensor{{DType::kBF16, {pass.tokens, width}}, narrow_queries_.data()});
    args.q.data = narrow_queries_.data();
  }
  args.k = {cache_->keys(layer), config.head_dim, cache_->head_stride(layer)};
  args.v = {cache_->values(layer), config.head_dim, cache_->head_stride(layer)};
  args.out = {floats(Slot::kMixed, pass), width, config.head_dim};
  args.tokens = pass.tokens;
  args.position = pass.position;
  args.heads = config.heads;
  args.kv_heads = config.kv_heads;
  args.head_dim = config.head_dim;
  args.scale = attention_scale(config);
  flash_attention(args, pool_);
}

Tensor Executor::slot(Slot slot, const Pass& pass) {
  // SiLU(gate) * up replaces gate: one tensor of [n, ffn] less in the runner.
  if (slot == Slot::kActivated) slot = Slot::kGate;
  const TensorSpec spec = slot_spec(slot, model_.config(), pass);
  Buffer& buffer = slots_[static_cast<std::size_t>(slot)];
  const auto bytes = static_cast<std::size_t>(spec.bytes());
  if (buffer.size() < bytes) {
    buffer.release();
    buffer = pool_.acquire(bytes);
  }
  return {spec, buffer.data()};
}

float* Executor::floats(Slot slot_name, const Pass& pass) {
  return slot(slot_name, pass).as<float>();
}

}  // namespace airlock
