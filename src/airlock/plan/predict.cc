#include "airlock/plan/predict.h"

#include <algorithm>
#include <numeric>

#include "airlock/plan/program.h"
#include "airlock/remote/rules.h"

namespace airlock {
namespace {
std::int64_t sum(const std::vector<OpTraffic>& ops, std::int64_t OpTraffic::*field) {
  return std::accumulate(
      ops.begin(), ops.end(), std::int64_t{0},
      [field](std::int64_t total, const OpTraffic& op) { return total + op.*field; });
}

void count(const std::vector<Step>& steps, const ModelConfig& config, const Plan& plan, int layer,
           const Pass& pass, Traffic& traffic) {
  for (const Step& step : steps) {
    if (step.kind != StepKind::kRemote) continue;
    const Call call = make_call(step, config, plan, layer, pass);
    traffic.add(call.op, total_bytes(call.inputs), total_bytes(infer_outputs(config, call)));
  }
}
}  // namespace

std::int64_t Traffic::calls() const noexcept {
  return sum(ops, &OpTraffic::calls);
}
std::int64_t Traffic::sent_bytes() const noexcept {
  return sum(ops, &OpTraffic::sent_bytes);
}
std::int64_t Traffic::received_bytes() const noexcept {
  return sum(ops, &OpTraffic::received_bytes);
}

void Traffic::add(Op op, std::int64_t sent, std::int64_t received) {
  auto at = std::find_if(ops.begin(), ops.end(), [op](const OpTraffic& t) { return t.op >= op; });
  if (at == ops.end() || at->op != op) at = ops.insert(at, {op, 0, 0, 0});
  at->calls += 1;
  at->sent_bytes += sent;
  at->received_bytes += received;
}

Traffic predict_traffic(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                        std::int64_t generated) {
  require(prompt >= 1, ErrorCode::kInvalidArgument, "{} tokens to prefill, expected at least 1",
          prompt);
  require(generated >= 0, ErrorCode::kInvalidArgument, "{} tokens to generate, expected 0 or more",
          generated);
  const std::int64_t fed = std::max<std::int64_t>(generated, 1) - 1;
  require(prompt <= config.max_position && fed <= config.max_position - prompt,
          ErrorCode::kInvalidArgument, "{} tokens and {} generated pass the model's context of {}",
          prompt, generated, config.max_position);
  const Program program = build_program(plan);
  Traffic traffic;
  for (const Pass& pass : make_passes(plan, prompt, generated)) {
    count(program.begin, config, plan, -1, pass, traffic);
    for (int layer = 0; layer < config.layers; ++layer) {
      count(program.layer, config, plan, layer, pass, traffic);
    }
    if (pass.logit_rows > 0) count(program.end, config, plan, -1, pass, traffic);
  }
  return traffic;
}

std::vector<std::string> worker_sees(const Plan& plan) {
  std::vector<std::string> sees;
  if (plan.embedding == Side::kWorker) sees.emplace_back("prompt");
  sees.emplace_back("hidden");
  sees.emplace_back("qkv");
  if (plan.attention != Attention::kRunner) sees.emplace_back("scores");
  sees.emplace_back("mlp");
  if (plan.lm_head == Side::kWorker) sees.emplace_back("logits");
  return sees;
}

}  // namespace airlock
