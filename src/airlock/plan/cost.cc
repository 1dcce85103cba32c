#include "airlock/plan/cost.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "airlock/model/tensor_table.h"
#include "airlock/ops/rules.h"
#include "airlock/plan/lowering.h"
#include "airlock/plan/predict.h"
#include "airlock/plan/program_cursor.h"

namespace airlock {
namespace {

/// What sides that work at the same time on the same processors lose: each splits its kernels over
/// all of them and waits for the part that the other held up. Measured on two cores: 1.12 to 1.2.
constexpr double kSharedCores = 1.12;

/// Two products (with K and with V) of head_dim for each head and pair of a row and a key it sees:
/// n rows see `position` + 1, + 2, … keys, n * (position + 1) + n(n-1)/2 pairs.
double attention_flops(const ModelConfig& config, const Batch& batch) {
  double pairs = 0;
  for (const Pass& pass : batch) {
    const auto n = static_cast<double>(pass.tokens);
    pairs += n * static_cast<double>(pass.position + 1) + n * (n - 1) / 2;
  }
  return 4 * static_cast<double>(config.q_dim()) * pairs;
}

double linear_flops(const ModelConfig& config, std::span<const Weight> weights, double rows) {
  double elements = 0;
  for (const Weight weight : weights) {
    elements += static_cast<double>(weight_shape(config, weight).elements());
  }
  return 2 * elements * rows;
}

double head_flops(const ModelConfig& config, const Batch& batch) {
  return 2 * static_cast<double>(config.hidden) * static_cast<double>(config.vocab) *
         static_cast<double>(batch.logit_rows());
}

/// Seconds for `flops` in calls of `rows`: between two measured points the rate goes with the
/// logarithm of the rows, beyond them it stays.
double worker_seconds(const std::vector<HostRates::Point>& points, double rows, double flops) {
  const auto above = std::find_if(points.begin(), points.end(),
                                  [&](const HostRates::Point& p) { return p.rows >= rows; });
  if (points.empty()) return 0;
  if (above == points.begin()) return flops / points.front().flops;
  if (above == points.end()) return flops / points.back().flops;
  const auto below = above - 1;
  const double share = std::log(rows / below->rows) / std::log(above->rows / below->rows);
  return flops / (below->flops + share * (above->flops - below->flops));
}

/// Adds up the stages of steps.
struct Sum {
  const ModelConfig& config;
  const Plan& plan;
  const HostRates& rates;
  const Batch& batch;
  Stages& stages;

  void add(const Visit& visit, double times) const {
    if (visit.step->kind == StepKind::kRemote) {
      remote(visit, times);
    } else {
      local(visit, times);
    }
  }

  void remote(const Visit& visit, double times) const {
    const Call call = lower_call(make_call(visit, config, batch), plan);
    const auto sent = static_cast<double>(total_bytes(call.inputs));
    const auto received = static_cast<double>(total_bytes(infer_outputs(config, call)));
    stages.round_trips_ms += times * rates.rtt_ms;
    if (rates.send_rate > 0) stages.send_ms += times * sent / rates.send_rate * 1e3;
    if (rates.receive_rate > 0) stages.receive_ms += times * received / rates.receive_rate * 1e3;
    const std::int64_t rows = visit.layer < 0 ? batch.logit_rows() : batch.tokens();
    const auto& points = plan.ring() && !rates.ring.empty() ? rates.ring : rates.worker;
    stages.worker_ms +=
        times * 1e3 *
        worker_seconds(points, static_cast<double>(rows), step_flops(visit, config, batch));
    if (plan.ring()) return shield(call, times);
    if (plan.wire_dtype == DType::kF32 || rates.runner_bytes <= 0) return;
    // Both sides convert: each reads one form and writes the other.
    const double f32 = (sent + received) * 4 / static_cast<double>(dtype_size(plan.wire_dtype));
    const double ms = times * (f32 + sent + received) / rates.runner_bytes * 1e3;
    stages.runner_ms += ms;
    stages.worker_ms += ms;
  }

  /// What the runner does about an exact product.
  void shield(const Call& call, double times) const {
    const auto rows = static_cast<double>(call.inputs[0].shape[0]);
    const auto in = static_cast<double>(call.inputs[0].shape[1]);
    const double matrices = call.weights.size();
    double out = 0;
    for (const Weight weight : call.weights) {
      out += static_cast<double>(weight_shape(config, weight)[0]);
    }
    const auto add = [&](double values, double rate) {
      if (rate > 0) stages.runner_ms += times * values / rate * 1e3;
    };
    add(rows * (in + out), rates.shield_values);
    if (plan.verify) add(rows * (in * matrices + out) * plan.soundness / 31, rates.check_values);
    if (plan.mask == Mask::kPads && plan.pads == PadKind::kLattice) {
      add(rows * (in + out), rates.pad_values);
    }
  }

  void local(const Visit& visit, double times) const {
    const double flops = step_flops(visit, config, batch);
    if (flops > 0 && rates.runner_flops > 0) {
      stages.runner_ms += times * flops / rates.runner_flops * 1e3;
    } else if (rates.runner_bytes > 0) {
      stages.runner_ms += times * local_bytes(visit) / rates.runner_bytes * 1e3;
    }
  }

  [[nodiscard]] double bytes_of(const Slots& slots, int pass) const {
    double bytes = 0;
    for (const Slot slot : slots) {
      bytes += static_cast<double>(slot_spec(slot, config, batch, pass).bytes());
    }
    return bytes;
  }

  /// Bytes that a local step reads and writes. Steps over whole tensors read each input and write
  /// each output once; these read some twice.
  [[nodiscard]] double local_bytes(const Visit& visit) const {
    const Step& step = *visit.step;
    const double outputs = bytes_of(step.outputs, visit.pass);
    const double bytes = bytes_of(step.inputs, visit.pass) + outputs;
    switch (step.kind) {
      case StepKind::kSoftmax:  // maximum, exponentials and sum, division
      case StepKind::kNorm:
        return 1.5 * bytes;
      case StepKind::kAdd:  // the outputs are inputs as well
      case StepKind::kRotate:
        return bytes + outputs;
      case StepKind::kCache:
        return 2 * bytes;
      default:
        return bytes;
    }
  }
};

}  // namespace

double step_flops(const Visit& visit, const ModelConfig& config, const Batch& batch) {
  using enum Weight;
  const Step& step = *visit.step;
  if (step.kind == StepKind::kAttend) return attention_flops(config, batch);
  if (step.kind == StepKind::kProject) return head_flops(config, batch);
  if (step.kind != StepKind::kRemote) return 0;
  const Batch rows = visit.pass < 0 ? batch : Batch(batch[visit.pass]);
  const auto tokens = static_cast<double>(rows.tokens());
  switch (step.op) {
    case Op::kBatchLinear:
      return linear_flops(config, step.weights.span(), tokens);
    case Op::kMatmul:  // not causal: the worker multiplies what the mask will hide, too
      return 2 * static_cast<double>(config.q_dim()) * tokens *
             static_cast<double>(rows[0].position + rows[0].tokens);
    case Op::kFusedAttention:
    case Op::kFlashAttention:
      return attention_flops(config, rows);
    case Op::kAttentionBlock:
      return attention_flops(config, rows) +
             linear_flops(config, std::array{kQ, kK, kV, kO}, tokens);
    case Op::kGatedMlp:
      return linear_flops(config, std::array{kGate, kUp, kDown}, tokens);
    case Op::kLmHead:
      return head_flops(config, rows);
    case Op::kInit:
    case Op::kEmbedding:
    case Op::kRingLinear:  // programs name what becomes these (plan/lowering.h)
    case Op::kPadProduct:
      return 0;
  }
  fail(ErrorCode::kInternal, "unknown operator {}", static_cast<int>(step.op));
}

double Stages::longest(bool same_cores) const noexcept {
  const double compute = same_cores ? runner_ms + worker_ms : std::max(runner_ms, worker_ms);
  return std::max({compute, send_ms, receive_ms});
}

Stages PlanStages::sum() const noexcept {
  return {prefill.runner_ms + decode.runner_ms, prefill.worker_ms + decode.worker_ms,
          prefill.send_ms + decode.send_ms, prefill.receive_ms + decode.receive_ms,
          prefill.round_trips_ms + decode.round_trips_ms};
}

PlanStages plan_stages(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                       std::int64_t generated, const HostRates& rates) {
  check_tokens(config, prompt, generated);
  const Program program = build_program(config, plan);
  PlanStages result;
  result.passes = 0;
  for (const Pass& pass : make_passes(plan, prompt, generated)) {
    const bool prefill = pass.position < prompt;
    if (prefill) ++result.passes;
    const Batch batch(pass);
    const Sum sum{config, plan, rates, batch, prefill ? result.prefill : result.decode};
    visit_steps(program, batch, [&](const Visit& visit, int times) { sum.add(visit, times); });
  }
  return result;
}

double wall_ms(const PlanStages& stages, int lanes, bool same_cores) noexcept {
  const auto depth = static_cast<double>(
      std::clamp<std::int64_t>(lanes, 1, std::max<std::int64_t>(stages.passes, 1)));
  Stages prefill = stages.prefill;
  if (same_cores && depth > 1) {
    prefill.runner_ms *= kSharedCores;
    prefill.worker_ms *= kSharedCores;
  }
  const double sum = prefill.one_after_the_other();
  const double longest = prefill.longest(same_cores);
  return longest + (sum - longest) / depth + stages.decode.one_after_the_other();
}

}  // namespace airlock
