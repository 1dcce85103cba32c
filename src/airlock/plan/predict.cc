#include "airlock/plan/predict.h"

#include <algorithm>
#include <numeric>

#include "airlock/ops/rules.h"
#include "airlock/plan/lowering.h"
#include "airlock/plan/program_cursor.h"

namespace airlock {
namespace {
std::int64_t sum(const std::vector<OpTraffic>& ops, std::int64_t OpTraffic::*field) {
  return std::accumulate(
      ops.begin(), ops.end(), std::int64_t{0},
      [field](std::int64_t total, const OpTraffic& op) { return total + op.*field; });
}

/// Adds the calls of one batch that is run `repeats` times.
void count(const Program& program, const ModelConfig& config, const Plan& plan, const Batch& batch,
           Traffic& traffic, std::int64_t repeats = 1) {
  visit_steps(program, batch, [&](const Visit& visit, std::int64_t visits) {
    if (visit.step->kind != StepKind::kRemote) return;
    const std::int64_t times = visits * repeats;
    const Call call = lower_call(make_call(visit, config, batch), plan);
    std::int64_t sent = 0;
    std::int64_t received = 0;
    require(!__builtin_mul_overflow(total_bytes(call.inputs), times, &sent) &&
                !__builtin_mul_overflow(total_bytes(infer_outputs(config, call)), times, &received),
            ErrorCode::kInvalidArgument, "plan {} would send more than 2^63 bytes", plan.name);
    traffic.add(call.op, sent, received, times);
  });
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

void Traffic::add(Op op, std::int64_t sent, std::int64_t received, std::int64_t calls) {
  auto at = std::find_if(ops.begin(), ops.end(), [op](const OpTraffic& t) { return t.op >= op; });
  if (at == ops.end() || at->op != op) at = ops.insert(at, {op, 0, 0, 0});
  // 2^58 an operator, so that sums over operators and directions stay inside it.
  constexpr std::int64_t kMost = std::int64_t{1} << 58;
  require(sent <= kMost - at->sent_bytes && received <= kMost - at->received_bytes,
          ErrorCode::kInvalidArgument, "{}: more than 2^58 bytes", op_name(op));
  at->calls += calls;
  at->sent_bytes += sent;
  at->received_bytes += received;
}

void check_tokens(const ModelConfig& config, std::int64_t prompt, std::int64_t generated) {
  require(prompt >= 1, ErrorCode::kInvalidArgument, "{} tokens to prefill, expected at least 1",
          prompt);
  require(generated >= 0, ErrorCode::kInvalidArgument, "{} tokens to generate, expected 0 or more",
          generated);
  const std::int64_t fed = std::max<std::int64_t>(generated, 1) - 1;
  require(prompt <= config.max_position && fed <= config.max_position - prompt,
          ErrorCode::kInvalidArgument, "{} tokens and {} generated pass the model's context of {}",
          prompt, generated, config.max_position);
}

Traffic predict_traffic(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                        std::int64_t generated) {
  check_tokens(config, prompt, generated);
  const Program program = build_program(config, plan);
  Traffic traffic;
  for (const Pass& pass : make_passes(plan, prompt, generated)) {
    count(program, config, plan, pass, traffic);
  }
  return traffic;
}

Traffic predict_traffic(const ModelConfig& config, const Plan& plan, const SideBySide& run) {
  require(run.sequences >= 1 && run.sequences <= kMaxRanges, ErrorCode::kInvalidArgument,
          "{} sequences, expected 1 to {}", run.sequences, kMaxRanges);
  check_tokens(config, run.prompt, run.generated);
  const Program program = build_program(config, plan);
  Traffic traffic;
  for (const Pass& pass : make_passes(plan, run.prompt, 0)) {
    count(program, config, plan, pass, traffic, run.sequences);
  }
  for (std::int64_t i = 1; i < run.generated; ++i) {
    Batch batch;
    for (int sequence = 0; sequence < run.sequences; ++sequence) {
      batch.add({run.prompt + i - 1, 1, 1, static_cast<std::uint32_t>(sequence)});
    }
    count(program, config, plan, batch, traffic);
  }
  return traffic;
}

Traffic predict_traffic(const ModelConfig& config, const Plan& plan,
                        std::span<const Batch> batches) {
  const Program program = build_program(config, plan);
  Traffic traffic;
  for (const Batch& batch : batches) count(program, config, plan, batch, traffic);
  return traffic;
}

}  // namespace airlock
