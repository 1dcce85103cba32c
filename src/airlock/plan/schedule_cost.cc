#include "airlock/plan/schedule_cost.h"

#include <algorithm>
#include <cmath>

#include "airlock/ops/rules.h"
#include "airlock/plan/program.h"

namespace airlock {
namespace {

/// What sides that work at the same time on the same processors lose: each splits its kernels over
/// all of them and waits for the part that the other held up. Measured on two cores: 1.12 to 1.2.
constexpr double kSharedCores = 1.12;

/// Seconds for `flops` in calls of `rows`: between two measured points the rate goes with the
/// logarithm of the rows, beyond them it stays.
double worker_seconds(const HostRates& rates, double rows, double flops) {
  const auto& points = rates.worker;
  const auto above = std::find_if(points.begin(), points.end(),
                                  [&](const HostRates::Point& p) { return p.rows >= rows; });
  if (points.empty()) return 0;
  if (above == points.begin()) return flops / points.front().flops;
  if (above == points.end()) return flops / points.back().flops;
  const auto below = above - 1;
  const double share = std::log(rows / below->rows) / std::log(above->rows / below->rows);
  return flops / (below->flops + share * (above->flops - below->flops));
}

double f32_bytes(Slot slot, const ModelConfig& config, const Pass& pass) {
  return static_cast<double>(slot_spec(slot, config, pass).bytes());
}

/// Bytes that a local step reads and writes. Steps over whole tensors read each input and write
/// each output once; these read some twice.
double local_bytes(const Step& step, const ModelConfig& config, const Pass& pass) {
  double bytes = 0;
  for (const Slot slot : step.inputs) bytes += f32_bytes(slot, config, pass);
  for (const Slot slot : step.outputs) bytes += f32_bytes(slot, config, pass);
  switch (step.kind) {
    case StepKind::kSoftmax:  // maximum, exponentials and sum, division
    case StepKind::kInputNorm:
    case StepKind::kPostNorm:
      return 1.5 * bytes;
    case StepKind::kAdd:  // the output is an input as well
      return bytes + f32_bytes(Slot::kHidden, config, pass);
    default:
      return bytes;
  }
}

struct Sum {
  const ModelConfig& config;
  const Plan& plan;
  const HostRates& rates;
  Stages& stages;

  void remote(const Step& step, int layer, const Pass& pass, double times) const {
    const Call call = make_call(step, config, plan, layer, pass);
    const TensorSpecs replies = infer_outputs(config, call);
    const auto sent = static_cast<double>(total_bytes(call.inputs));
    const auto received = static_cast<double>(total_bytes(replies));
    stages.round_trips_ms += times * rates.rtt_ms;
    if (rates.send_rate > 0) stages.send_ms += times * sent / rates.send_rate * 1e3;
    if (rates.receive_rate > 0) stages.receive_ms += times * received / rates.receive_rate * 1e3;
    const std::int64_t rows = step.op == Op::kLmHead ? pass.logit_rows : pass.tokens;
    stages.worker_ms +=
        times * 1e3 *
        worker_seconds(rates, static_cast<double>(rows), remote_flops(step, config, pass));
    if (plan.wire_dtype == DType::kF32 || rates.runner_bytes <= 0) return;
    // Both sides convert: each reads one form and writes the other.
    const double f32 = (sent + received) * 4 / static_cast<double>(dtype_size(plan.wire_dtype));
    const double ms = times * (f32 + sent + received) / rates.runner_bytes * 1e3;
    stages.runner_ms += ms;
    stages.worker_ms += ms;
  }

  void local(const Step& step, const Pass& pass, double times) const {
    if (step.kind == StepKind::kRunnerAttention && rates.runner_attention > 0) {
      stages.runner_ms += times * local_flops(step, config, pass) / rates.runner_attention * 1e3;
      return;
    }
    if (rates.runner_bytes > 0) {
      stages.runner_ms += times * local_bytes(step, config, pass) / rates.runner_bytes * 1e3;
    }
  }

  void steps(const std::vector<Step>& list, int layer, const Pass& pass, double times) const {
    for (const Step& step : list) {
      if (step.kind == StepKind::kRemote) {
        remote(step, layer, pass, times);
      } else {
        local(step, pass, times);
      }
    }
  }
};

}  // namespace

double Stages::longest(bool same_cores) const noexcept {
  const double compute = same_cores ? runner_ms + worker_ms : std::max(runner_ms, worker_ms);
  return std::max({compute, send_ms, receive_ms});
}

PlanStages plan_stages(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                       std::int64_t generated, const HostRates& rates) {
  check_tokens(config, prompt, generated);
  const Program program = build_program(plan);
  PlanStages result;
  result.passes = 0;
  for (const Pass& pass : make_passes(plan, prompt, generated)) {
    const bool prefill = pass.position < prompt;
    if (prefill) ++result.passes;
    const Sum sum{config, plan, rates, prefill ? result.prefill : result.decode};
    sum.steps(program.begin, -1, pass, 1);
    sum.steps(program.layer, 0, pass, static_cast<double>(config.layers));
    if (pass.logit_rows > 0) sum.steps(program.end, -1, pass, 1);
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
