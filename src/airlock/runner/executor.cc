#include "airlock/runner/executor.h"

#include <algorithm>
#include <chrono>

#include "airlock/core/error.h"
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

/// Copies of heads keep bf16 or f32.
DType copied_dtype(DType native) {
  return native == DType::kBF16 ? DType::kBF16 : DType::kF32;
}

/// Only the runner's own attention reads the cache as it is; the others send copies of it.
DType cache_dtype(const Plan& plan, DType native) {
  return plan.attention == Attention::kRunner ? product_dtype(plan) : copied_dtype(native);
}

/// Slots filled and read by arithmetic only, whose every value the worker gets to see or makes:
/// these may lie where it can change them meanwhile. The residual stream, ids and logits (which are
/// sorted) may not.
std::array<bool, kSlotCount> crossing_slots(const Program& program) {
  std::array<bool, kSlotCount> crossing{};
  for (const auto* steps : {&program.begin, &program.layer, &program.end}) {
    for (const Step& step : *steps) {
      if (step.kind != StepKind::kRemote) continue;
      for (const Slot slot : step.inputs) crossing[static_cast<std::size_t>(slot)] = true;
      for (const Slot slot : step.outputs) crossing[static_cast<std::size_t>(slot)] = true;
    }
  }
  for (const Slot slot : {Slot::kIds, Slot::kHidden, Slot::kLogits}) {
    crossing[static_cast<std::size_t>(slot)] = false;
  }
  return crossing;
}
/// What a slot is kept in: most of what crosses is written and read by kernels that take it as it
/// travels.
DType kept_dtype(Slot slot, DType native) {
  switch (slot) {
    case Slot::kScores:
    case Slot::kGate:
    case Slot::kUp:
      return native;
    case Slot::kQHeads:
    case Slot::kKHeads:
    case Slot::kVHeads:
    case Slot::kKRows:
    case Slot::kVRows:
      return copied_dtype(native);
    default:
      return DType::kF32;
  }
}

/// What a plan's calls travel in, if those kernels take it.
DType native_dtype(const Operators& operators, const Plan& plan) noexcept {
  const DType dtype = operators.native_dtype(plan.wire_dtype);
  return dtype == DType::kBF16 || dtype == DType::kF16 ? dtype : DType::kF32;
}
}  // namespace

Executor::Executor(const RunnerModel& model, const Plan& plan, Operators& operators,
                   ExecutorOptions options)
    : model_(model),
      plan_(plan),
      program_(build_program(plan)),
      operators_(operators),
      options_(std::move(options)),
      native_(native_dtype(operators, plan)),
      crossing_pool_(operators.memory()),
      crossing_(crossing_slots(program_)),
      rope_(model.config().head_dim, model.config().rope_theta, model.config().rope_scaling) {
  if (has_runner_cache(plan)) {
    cache_ = std::make_unique<KvCache>(model.config(), cache_dtype(plan, native_), pool_);
  }
  if (plan.lm_head == Side::kRunner)
    lm_head_ = std::make_unique<RunnerLmHead>(model.checkpoint(), product_dtype(plan));
}

Executor::~Executor() = default;

void Executor::check(const Pass& pass, std::span<const std::int64_t> ids) const {
  const ModelConfig& config = model_.config();
  require(pass.tokens >= 1 && static_cast<std::int64_t>(ids.size()) >= pass.tokens &&
              pass.logit_rows >= 0 && pass.logit_rows <= pass.tokens && pass.position >= 0,
          ErrorCode::kInvalidArgument, "a pass of {} tokens with {} ids and {} rows of logits",
          pass.tokens, ids.size(), pass.logit_rows);
  require(pass.tokens <= config.max_position && pass.position <= config.max_position - pass.tokens,
          ErrorCode::kInvalidArgument,
          "{} tokens at position {} pass the model's context of {} tokens", pass.tokens,
          pass.position, config.max_position);
  for (const std::int64_t id : ids.first(static_cast<std::size_t>(pass.tokens))) {
    require(id >= 0 && id < config.vocab, ErrorCode::kInvalidArgument,
            "token id {} is outside the vocabulary of {}", id, config.vocab);
  }
}

std::span<const float> Executor::run(std::span<const Pass> passes,
                                     std::span<const std::int64_t> ids) {
  auto left = ids;
  for (const Pass& pass : passes) {
    check(pass, left);
    left = left.subspan(static_cast<std::size_t>(pass.tokens));
  }
  require(!passes.empty() && left.empty(), ErrorCode::kInvalidArgument,
          "{} passes with {} ids too many", passes.size(), left.size());
  const std::size_t wanted = std::min(passes.size(), static_cast<std::size_t>(operators_.lanes()));
  if (lanes_.size() < wanted) {
    lanes_.resize(wanted);
    under_way_.resize(wanted);
  }
  layers_done_ = 0;
  layers_all_ = model_.config().layers * static_cast<std::int64_t>(passes.size());
  std::size_t started = 0;
  left = ids;
  const auto start = [&](Lane& lane) {
    const Pass& pass = passes[started++];
    lane.pass = pass;
    lane.ids = left.first(static_cast<std::size_t>(pass.tokens));
    lane.stage = 0;
    lane.step = 0;
    left = left.subspan(lane.ids.size());
    advance(lane);
  };
  // Lanes are spread over a layer, a call apart: while one asks for scores another has its MLP on
  // the way, so that both directions and both sides are busy all the time. In step they would all
  // send at once, then all receive at once. Where lanes outnumber calls, those left over go with
  // the first: the early chunks are the cheap ones.
  const auto calls = static_cast<std::size_t>(
      std::count_if(program_.layer.begin(), program_.layer.end(),
                    [](const Step& step) { return step.kind == StepKind::kRemote; }));
  const std::size_t together = std::max<std::size_t>(wanted / calls, 1);
  const std::size_t left_over = wanted < calls ? 0 : wanted % calls;
  const auto opens_after = [&](std::size_t lane) {  // calls of the first lane
    return lane < left_over ? 0 : (lane - left_over) / together;
  };
  std::size_t opened = 0;
  std::size_t first_lane_calls = 0;
  const auto open_lanes = [&] {
    while (opened < wanted && started < passes.size() && opens_after(opened) <= first_lane_calls) {
      start(lanes_[opened]);
      under_way_.push(opened++);
    }
  };
  Lane* last = nullptr;
  try {
    // Each lane has one call under way and calls end in the order they were made.
    for (open_lanes(); !under_way_.empty(); open_lanes()) {
      const std::size_t oldest = under_way_.pop();
      Lane& lane = lanes_[oldest];
      operators_.collect();
      if (oldest == 0) ++first_lane_calls;
      if (!advance(lane)) {
        last = &lane;
        if (started == passes.size()) continue;
        start(lane);
      }
      under_way_.push(oldest);
    }
  } catch (...) {
    operators_.abandon();
    under_way_.clear();
    throw;
  }
  if (last->pass.logit_rows == 0) return {};
  return {floats(Slot::kLogits, *last),
          static_cast<std::size_t>(last->pass.logit_rows * model_.config().vocab)};
}

const std::vector<Step>& Executor::steps_of(const Lane& lane) const {
  if (lane.stage == 0) return program_.begin;
  return lane.stage <= model_.config().layers ? program_.layer : program_.end;
}

bool Executor::advance(Lane& lane) {
  const auto layers = static_cast<int>(model_.config().layers);
  const int last_stage = lane.pass.logit_rows > 0 ? layers + 1 : layers;
  while (lane.stage <= last_stage) {
    const std::vector<Step>& steps = steps_of(lane);
    const int layer = lane.stage >= 1 && lane.stage <= layers ? lane.stage - 1 : -1;
    if (layer >= 0 && lane.step == 0) options_.stop.throw_if_stopped();
    while (lane.step < steps.size()) {
      const Step& step = steps[lane.step++];
      if (step.kind == StepKind::kRemote) {
        submit(step, layer, lane);
        return true;
      }
      const auto begin = Clock::now();
      run_local(step, layer, lane);
      local_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    }
    if (layer >= 0) {
      ++layers_done_;
      if (options_.progress) options_.progress(layers_done_, layers_all_);
    }
    ++lane.stage;
    lane.step = 0;
  }
  return false;
}

void Executor::submit(const Step& step, int layer, Lane& lane) {
  const Call call = make_call(step, model_.config(), plan_, layer, lane.pass);
  std::array<ConstTensor, kMaxTensors> inputs;
  std::array<Tensor, kMaxTensors> outputs;
  for (int i = 0; i < step.inputs.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (step.inputs[i] == Slot::kIds) {
      inputs[at] = {slot_spec(Slot::kIds, model_.config(), lane.pass),
                    reinterpret_cast<const std::byte*>(lane.ids.data())};
    } else {
      inputs[at] = slot(step.inputs[i], lane);
    }
  }
  for (int i = 0; i < step.outputs.size(); ++i) {
    outputs[static_cast<std::size_t>(i)] = slot(step.outputs[i], lane);
  }
  operators_.submit(call, std::span(inputs).first(static_cast<std::size_t>(step.inputs.size())),
                    std::span(outputs).first(static_cast<std::size_t>(step.outputs.size())));
}

void Executor::run_local(const Step& step, int layer, Lane& lane) {
  const ModelConfig& config = model_.config();
  const Pass& pass = lane.pass;
  const std::int64_t n = pass.tokens;
  const auto eps = static_cast<float>(config.rms_norm_eps);
  switch (step.kind) {
    case StepKind::kRemote:
      break;
    case StepKind::kEmbed:
      model_.embed(lane.ids, floats(Slot::kHidden, lane));
      break;
    case StepKind::kInputNorm:
      rms_norm(floats(Slot::kHidden, lane), model_.input_norm(layer), eps, n, config.hidden,
               floats(Slot::kNormed, lane));
      break;
    case StepKind::kPostNorm:
      rms_norm(floats(Slot::kHidden, lane), model_.post_norm(layer), eps, n, config.hidden,
               floats(Slot::kNormed, lane));
      break;
    case StepKind::kFinalNorm:
      rms_norm(floats(Slot::kHidden, lane) + (n - pass.logit_rows) * config.hidden,
               model_.final_norm(), eps, pass.logit_rows, config.hidden, floats(Slot::kLast, lane));
      break;
    case StepKind::kRotate:
      rope_.apply(floats(Slot::kQ, lane), n, config.heads, pass.position);
      rope_.apply(floats(Slot::kK, lane), n, config.kv_heads, pass.position);
      break;
    case StepKind::kRotateAndCache:
      rotate_and_cache(layer, lane);
      break;
    case StepKind::kSplitQueries:
      split_queries(lane);
      break;
    case StepKind::kRepeatHeads:
    case StepKind::kRepeatRows:
      repeat_cached(step, layer, lane);
      break;
    case StepKind::kSoftmax:
      causal_softmax(slot(Slot::kScores, lane), pass.position, config.attention_scale());
      break;
    case StepKind::kMergeHeads:
      merge_heads(floats(Slot::kMixedHeads, lane), config.heads, n, config.head_dim,
                  floats(Slot::kMixed, lane));
      break;
    case StepKind::kRunnerAttention:
      runner_attention(layer, lane);
      break;
    case StepKind::kActivate:
      silu_mul(slot(Slot::kGate, lane), slot(Slot::kUp, lane), slot(Slot::kActivated, lane));
      break;
    case StepKind::kAdd:
      add(floats(Slot::kHidden, lane), floats(Slot::kProjected, lane), n * config.hidden);
      break;
    case StepKind::kProject:
      lm_head_->run(floats(Slot::kLast, lane), pass.logit_rows, floats(Slot::kLogits, lane));
      break;
  }
}

void Executor::rotate_and_cache(int layer, Lane& lane) {
  const Pass& pass = lane.pass;
  const ModelConfig& config = model_.config();
  const std::int64_t n = pass.tokens;
  rope_.apply(floats(Slot::kQ, lane), n, config.heads, pass.position);
  cache_->prepare(layer, pass.position, n);
  const float* k = floats(Slot::kK, lane);
  const std::int64_t stride = cache_->head_stride(layer);
  if (cache_->dtype() == DType::kBF16) {
    rope_.apply_to_heads(k, n, config.kv_heads, pass.position,
                         static_cast<BF16*>(cache_->keys(layer)), stride, pass.position);
  } else {
    rope_.apply_to_heads(k, n, config.kv_heads, pass.position,
                         static_cast<float*>(cache_->keys(layer)), stride, pass.position);
  }
  cache_->write_values(layer, slot(Slot::kV, lane));
  cache_->commit(layer, n);
}

void Executor::split_queries(Lane& lane) {
  const ModelConfig& config = model_.config();
  const std::int64_t n = lane.pass.tokens;
  const std::int64_t stride = n * config.head_dim;
  const float* q = floats(Slot::kQ, lane);
  const Tensor out = slot(Slot::kQHeads, lane);
  if (out.spec.dtype == DType::kBF16) {
    split_heads(q, n, config.heads, config.head_dim, out.as<BF16>(), stride, 0);
  } else {
    split_heads(q, n, config.heads, config.head_dim, out.as<float>(), stride, 0);
  }
}

void Executor::repeat_cached(const Step& step, int layer, Lane& lane) {
  const Pass& pass = lane.pass;
  const ModelConfig& config = model_.config();
  const auto repeat = step.kind == StepKind::kRepeatRows ? repeat_rows : repeat_heads;
  const std::int64_t context = pass.position + pass.tokens;
  const std::int64_t group = config.heads / config.kv_heads;
  const std::int64_t stride = cache_->head_stride(layer);
  repeat(cache_->dtype(), cache_->keys(layer), config.kv_heads, stride, group, context,
         config.head_dim, slot(step.outputs[0], lane).data);
  repeat(cache_->dtype(), cache_->values(layer), config.kv_heads, stride, group, context,
         config.head_dim, slot(step.outputs[1], lane).data);
}

void Executor::runner_attention(int layer, Lane& lane) {
  const Pass& pass = lane.pass;
  const ModelConfig& config = model_.config();
  const std::int64_t width = config.q_dim();
  FlashAttentionArgs args;
  args.dtype = cache_->dtype();
  args.out_dtype = DType::kF32;
  args.q = {floats(Slot::kQ, lane), width, config.head_dim};
  if (args.dtype == DType::kBF16) {
    const auto bytes = static_cast<std::size_t>(pass.tokens * width) * sizeof(BF16);
    if (narrow_queries_.size() < bytes) narrow_queries_ = pool_.acquire(bytes);
    convert(ConstTensor(slot(Slot::kQ, lane)),
            Tensor{{DType::kBF16, {pass.tokens, width}}, narrow_queries_.data()});
    args.q.data = narrow_queries_.data();
  }
  args.k = {cache_->keys(layer), config.head_dim, cache_->head_stride(layer)};
  args.v = {cache_->values(layer), config.head_dim, cache_->head_stride(layer)};
  args.out = {floats(Slot::kMixed, lane), width, config.head_dim};
  args.tokens = pass.tokens;
  args.position = pass.position;
  args.heads = config.heads;
  args.kv_heads = config.kv_heads;
  args.head_dim = config.head_dim;
  args.scale = config.attention_scale();
  flash_attention(args, pool_);
}

Tensor Executor::slot(Slot slot, Lane& lane) {
  // SiLU(gate) * up replaces gate: one tensor of [n, ffn] less in the runner.
  if (slot == Slot::kActivated) slot = Slot::kGate;
  TensorSpec spec = slot_spec(slot, model_.config(), lane.pass);
  if (spec.dtype == DType::kF32) spec.dtype = kept_dtype(slot, native_);
  Buffer& buffer = lane.slots[static_cast<std::size_t>(slot)];
  const auto bytes = static_cast<std::size_t>(spec.bytes());
  if (buffer.size() < bytes) {
    buffer.release();
    const bool crosses =
        crossing_[static_cast<std::size_t>(slot)] && spec.dtype == plan_.wire_dtype;
    buffer = (crosses ? crossing_pool_ : pool_).acquire(bytes);
  }
  return {spec, buffer.data()};
}

float* Executor::floats(Slot slot_name, Lane& lane) {
  return slot(slot_name, lane).as<float>();
}

}  // namespace airlock
