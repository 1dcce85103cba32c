#include "airlock/runner/executor.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "airlock/core/error.h"
#include "airlock/plan/lowering.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

std::size_t calls_of(const std::vector<Step>& steps) {
  return static_cast<std::size_t>(std::count_if(
      steps.begin(), steps.end(), [](const Step& step) { return step.kind == StepKind::kRemote; }));
}

/// What the executor's own decorator lets floats travel as: below it, the shield turns f32 into
/// ring elements.
DType float_wire(const Plan& plan) {
  return plan.ring() ? DType::kF32 : plan.wire_dtype;
}

/// No call may cross otherwise than the plan says: a missing shield would show plaintext.
void check_stack(const ModelConfig& config, const Plan& plan, const Program& program,
                 const Operators& operators) {
  const Batch token(Pass{0, 1, 1});
  visit_steps(program, token, [&](const Visit& visit, int) {
    if (visit.step->kind != StepKind::kRemote) return;
    const Call call = make_call(visit, config, token);
    const Call crosses = operators.lower(call);
    const Call planned = lower_call(call, plan);
    require(crosses == planned, ErrorCode::kInternal,
            "plan {}: {} would leave as {} in {}, planned is {} in {}", plan.name, call, crosses,
            dtype_name(crosses.inputs[0].dtype), planned, dtype_name(planned.inputs[0].dtype));
  });
}

}  // namespace

Executor::Executor(const RunnerModel& model, const Plan& plan, const Endpoint& endpoint,
                   ExecutorOptions options)
    : model_(model),
      plan_(plan),
      program_(build_program(model.config(), plan)),
      layer_calls_(calls_of(program_.layer)),
      operators_(endpoint.operators(), float_wire(plan)),
      options_(std::move(options)),
      layout_(program_, float_wire(plan), endpoint.through(operators_)),
      steps_(model, plan, program_, layout_) {
  check_stack(model.config(), plan, program_, operators_);
}

void Executor::check(const Batch& batch, std::span<const std::int64_t> ids) const {
  const ModelConfig& config = model_.config();
  require(batch.size() >= 1, ErrorCode::kInvalidArgument, "a batch without passes");
  for (const Pass* pass = batch.begin(); pass != batch.end(); ++pass) {
    require(pass->tokens >= 1 && pass->logit_rows >= 0 && pass->logit_rows <= pass->tokens &&
                pass->position >= 0,
            ErrorCode::kInvalidArgument, "a pass of {} tokens with {} rows of logits", pass->tokens,
            pass->logit_rows);
    require(
        pass->tokens <= config.max_position && pass->position <= config.max_position - pass->tokens,
        ErrorCode::kInvalidArgument,
        "{} tokens at position {} pass the model's context of {} tokens", pass->tokens,
        pass->position, config.max_position);
    const bool twice = std::any_of(
        batch.begin(), pass, [&](const Pass& other) { return other.sequence == pass->sequence; });
    require(!twice, ErrorCode::kInvalidArgument, "sequence {} is in a batch twice", pass->sequence);
  }
  require(static_cast<std::int64_t>(ids.size()) >= batch.tokens(), ErrorCode::kInvalidArgument,
          "a batch of {} tokens with {} ids", batch.tokens(), ids.size());
  for (const std::int64_t id : ids.first(static_cast<std::size_t>(batch.tokens()))) {
    require(id >= 0 && id < config.vocab, ErrorCode::kInvalidArgument,
            "token id {} is outside the vocabulary of {}", id, config.vocab);
  }
}

std::span<const float> Executor::run(std::span<const Batch> batches,
                                     std::span<const std::int64_t> ids) {
  return run_pieces(batches, ids, {});
}

std::span<const float> Executor::run(std::span<const Pass> passes,
                                     std::span<const std::int64_t> ids, const StopToken& stop) {
  return run_pieces(passes, ids, stop);
}

template <typename Piece>
std::span<const float> Executor::run_pieces(std::span<const Piece> pieces,
                                            std::span<const std::int64_t> ids,
                                            const StopToken& stop) {
  stop_ = &stop;
  // Of all pieces, before anything is sent of the first.
  auto left = ids;
  for (const Piece& piece : pieces) {
    const Batch& batch = piece;
    check(batch, left);
    left = left.subspan(static_cast<std::size_t>(batch.tokens()));
  }
  require(!pieces.empty() && left.empty(), ErrorCode::kInvalidArgument,
          "{} batches with {} ids too many", pieces.size(), left.size());
  const std::size_t wanted = std::min(pieces.size(), static_cast<std::size_t>(operators_.lanes()));
  if (lanes_.size() < wanted) {
    lanes_.resize(wanted);
    under_way_.resize(wanted);
  }
  layers_done_ = 0;
  layers_all_ = model_.config().layers * static_cast<std::int64_t>(pieces.size());
  std::size_t started = 0;
  left = ids;
  Lane* last = nullptr;
  // Gives a lane batch after batch until one has a call under way; false once there are none left.
  const auto start_next = [&](Lane& lane) {
    while (started < pieces.size()) {
      const Batch& batch = pieces[started++];
      const auto own = left.first(static_cast<std::size_t>(batch.tokens()));
      left = left.subspan(own.size());
      last = &lane;
      if (start(lane, batch, own)) return true;
    }
    return false;
  };
  // Lanes are spread over a layer, a call apart: while one asks for scores another has its MLP on
  // the way, so that both directions and both sides are busy all the time. In step they would all
  // send at once, then all receive at once. Where lanes outnumber calls, those left over go with
  // the first: the early chunks are the cheap ones.
  const std::size_t calls = std::max<std::size_t>(layer_calls_, 1);
  const std::size_t together = std::max<std::size_t>(wanted / calls, 1);
  const std::size_t left_over = wanted < calls ? 0 : wanted % calls;
  const auto opens_after = [&](std::size_t lane) {  // calls of the first lane
    return lane < left_over ? 0 : (lane - left_over) / together;
  };
  std::size_t opened = 0;
  std::size_t first_lane_calls = 0;
  const auto open_lanes = [&] {
    while (opened < wanted && started < pieces.size() && opens_after(opened) <= first_lane_calls) {
      const std::size_t lane = opened++;
      if (start_next(lanes_[lane])) under_way_.push(lane);
    }
  };
  try {
    // Each lane has one call under way and calls end in the order they were made.
    for (open_lanes(); !under_way_.empty(); open_lanes()) {
      const std::size_t oldest = under_way_.pop();
      Lane& lane = lanes_[oldest];
      operators_.collect(lane.ticket);
      if (oldest == 0) ++first_lane_calls;
      if (advance(lane) || start_next(lane)) under_way_.push(oldest);
    }
  } catch (...) {
    operators_.abandon();
    under_way_.clear();
    throw;
  }
  if (last->batch.logit_rows() == 0) return {};
  const Tensor logits = last->slots.get(Slot::kLogits, layout_, model_.config(), last->batch, -1);
  return {logits.as<float>(), static_cast<std::size_t>(logits.spec.shape.elements())};
}

void Executor::end_sequence(std::uint32_t sequence) {
  steps_.end_sequence(sequence);
  operators_.end_sequence(sequence);
}

bool Executor::start(Lane& lane, const Batch& batch, std::span<const std::int64_t> ids) {
  lane.batch = batch;
  lane.ids = ids;
  lane.cursor = ProgramCursor(program_, lane.batch);
  lane.layer = -1;
  return advance(lane);
}

bool Executor::advance(Lane& lane) {
  Visit visit;
  while (lane.cursor.next(visit)) {
    if (visit.layer != lane.layer) {
      if (lane.layer >= 0) layer_done();
      if (visit.layer >= 0) throw_if_stopped();
      lane.layer = visit.layer;
    }
    if (visit.step->kind == StepKind::kRemote) {
      submit(visit, lane);
      return true;
    }
    const auto begin = Clock::now();
    steps_.run(visit, {lane.batch, lane.ids, lane.slots});
    local_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  }
  if (lane.layer >= 0) layer_done();
  lane.layer = -1;
  return false;
}

void Executor::throw_if_stopped() const {
  options_.stop.throw_if_stopped();
  stop_->throw_if_stopped();
}

void Executor::layer_done() {
  ++layers_done_;
  if (options_.progress) options_.progress(layers_done_, layers_all_);
}

void Executor::submit(const Visit& visit, Lane& lane) {
  const Step& step = *visit.step;
  std::array<ConstTensor, kMaxTensors> inputs;
  std::array<Tensor, kMaxTensors> outputs;
  const auto memory_of = [&](Slot slot) {
    return lane.slots.get(slot, layout_, model_.config(), lane.batch, visit.pass);
  };
  for (int i = 0; i < step.inputs.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (step.inputs[i] == Slot::kIds) {
      inputs[at] = {slot_spec(Slot::kIds, model_.config(), lane.batch, visit.pass),
                    reinterpret_cast<const std::byte*>(lane.ids.data())};
    } else {
      inputs[at] = memory_of(step.inputs[i]);
    }
  }
  for (int i = 0; i < step.outputs.size(); ++i) {
    outputs[static_cast<std::size_t>(i)] = memory_of(step.outputs[i]);
  }
  lane.ticket =
      operators_.submit(make_call(visit, model_.config(), lane.batch),
                        std::span(inputs).first(static_cast<std::size_t>(step.inputs.size())),
                        std::span(outputs).first(static_cast<std::size_t>(step.outputs.size())));
}

}  // namespace airlock
