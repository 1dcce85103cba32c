#include "airlock/engine/finite_logits.h"

#include <algorithm>
#include <cmath>

#include "airlock/core/error.h"

namespace airlock {

std::string not_finite_text(std::int64_t positions, std::int64_t of, const Plan& plan) {
  return fmt::format("logits of {} of {} positions are not finite: {}", positions, of,
                     plan.wire_dtype == DType::kF16
                         ? "numbers past 65504 overflow an f16 wire, bf16 and f32 hold more "
                           "(--wire-dtype)"
                         : "the model's numbers overflow, or the worker sent such");
}

void require_finite(std::span<const float> logits, const Plan& plan) {
  if (std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) return;
  fail(ErrorCode::kProtocol, "{}", not_finite_text(1, 1, plan));
}

}  // namespace airlock
