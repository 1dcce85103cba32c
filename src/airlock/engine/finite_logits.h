// Logits that are not finite: said alike by whoever meets them.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "airlock/plan/plan.h"

namespace airlock {

/// "logits of 3 of 8 positions are not finite", and why that may be under `plan`.
[[nodiscard]] std::string not_finite_text(std::int64_t positions, std::int64_t of,
                                          const Plan& plan);

/// Throws Error(kProtocol) with that text if a logit of this one position is NaN or infinite.
void require_finite(std::span<const float> logits, const Plan& plan);

}  // namespace airlock
