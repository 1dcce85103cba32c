// The presets of one kind: those of the ring need a shield.
#pragma once

#include <algorithm>
#include <vector>

#include "airlock/plan/plan.h"

namespace airlock::testing {

inline std::vector<Plan> plain_plans() {
  std::vector<Plan> plans = preset_plans();
  std::erase_if(plans, [](const Plan& plan) { return plan.ring(); });
  return plans;
}

inline std::vector<Plan> ring_plans() {
  std::vector<Plan> plans = preset_plans();
  std::erase_if(plans, [](const Plan& plan) { return !plan.ring(); });
  return plans;
}

}  // namespace airlock::testing
