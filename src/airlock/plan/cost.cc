#include "airlock/plan/cost.h"

#include "airlock/core/error.h"
#include "airlock/ops/rules.h"
#include "airlock/plan/program.h"

namespace airlock {
namespace {
/// Products of `n` query rows that see `first`, first + 1, … keys: n * first + n(n-1)/2.
double causal_pairs(const Pass& pass) {
  const auto n = static_cast<double>(pass.tokens);
  return n * static_cast<double>(pass.position + 1) + n * (n - 1) / 2;
}

/// Two products (with K and with V) of head_dim for each head and pair.
double attention_flops(const ModelConfig& config, const Pass& pass) {
  return 4 * static_cast<double>(config.q_dim()) * causal_pairs(pass);
}

double linear_flops(const ModelConfig& config, const Weights& weights, const Pass& pass) {
  double elements = 0;
  for (const Weight weight : weights) {
    elements += static_cast<double>(weight_shape(config, weight).elements());
  }
  return 2 * elements * static_cast<double>(pass.tokens);
}

double head_flops(const ModelConfig& config, const Pass& pass) {
  return 2 * static_cast<double>(config.hidden) * static_cast<double>(config.vocab) *
         static_cast<double>(pass.logit_rows);
}

void count(const std::vector<Step>& steps, const ModelConfig& config, const Pass& pass,
           double times, Work& work) {
  for (const Step& step : steps) {
    if (step.kind == StepKind::kRemote) {
      work.worker_flops += times * remote_flops(step, config, pass);
    } else {
      work.runner_flops += times * local_flops(step, config, pass);
    }
  }
}
}  // namespace

double remote_flops(const Step& step, const ModelConfig& config, const Pass& pass) {
  using enum Weight;
  switch (step.op) {
    case Op::kBatchLinear:
      return linear_flops(config, step.weights, pass);
    case Op::kMatmul:  // not causal: the worker multiplies what the mask will hide, too
      return 2 * static_cast<double>(config.q_dim()) * static_cast<double>(pass.tokens) *
             static_cast<double>(pass.position + pass.tokens);
    case Op::kFusedAttention:
    case Op::kFlashAttention:
      return attention_flops(config, pass);
    case Op::kAttentionBlock:
      return attention_flops(config, pass) + linear_flops(config, {kQ, kK, kV}, pass) +
             linear_flops(config, {kO}, pass);
    case Op::kGatedMlp:
      return linear_flops(config, {kGate, kUp, kDown}, pass);
    case Op::kLmHead:
      return head_flops(config, pass);
    case Op::kInit:
    case Op::kEmbedding:
      return 0;
  }
  fail(ErrorCode::kInternal, "unknown operator {}", static_cast<int>(step.op));
}

double local_flops(const Step& step, const ModelConfig& config, const Pass& pass) {
  switch (step.kind) {
    case StepKind::kRunnerAttention:
      return attention_flops(config, pass);
    case StepKind::kProject:
      return head_flops(config, pass);
    default:
      return 0;
  }
}

Work predict_work(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                  std::int64_t generated) {
  check_tokens(config, prompt, generated);
  const Program program = build_program(plan);
  Work work;
  for (const Pass& pass : make_passes(plan, prompt, generated)) {
    count(program.begin, config, pass, 1, work);
    count(program.layer, config, pass, static_cast<double>(config.layers), work);
    if (pass.logit_rows > 0) count(program.end, config, pass, 1, work);
  }
  return work;
}

Estimate estimate(const Traffic& traffic, const LinkSpeed& link, const Work& work,
                  const ComputeRates& rates) {
  Estimate result;
  result.link_ms = static_cast<double>(traffic.calls()) * link.rtt_ms;
  if (link.bytes_per_second > 0) {
    result.link_ms += static_cast<double>(traffic.total_bytes()) / link.bytes_per_second * 1e3;
  }
  if (rates.worker > 0) result.compute_ms += work.worker_flops / rates.worker * 1e3;
  if (rates.runner > 0) result.compute_ms += work.runner_flops / rates.runner * 1e3;
  return result;
}

}  // namespace airlock
