// `--plan auto`: the fastest plan on a link that shows the worker no more than one allows.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/plan/cost.h"
#include "airlock/plan/knobs.h"
#include "airlock/plan/predict.h"
#include "airlock/plan/schedule_cost.h"

namespace airlock {

/// What to choose a plan for.
struct AutoRequest {
  std::int64_t prompt = 0;     ///< tokens to prefill
  std::int64_t generated = 0;  ///< tokens to generate
  LinkSpeed link;              ///< bandwidth 0: plans rank by bytes, then by calls
  ComputeRates rates;
  std::vector<std::string> must_not_see;  ///< words of worker_sees
  Knobs fixed;                            ///< knobs that are not to be varied
  /// Figures of a live session: chunks and lanes are chosen as well, and `link` and `rates` unused.
  std::optional<HostRates> live = {};
  int most_lanes = 1;  ///< with `live`: calls that may be under way
};

struct PlanChoice {
  Plan plan;
  Traffic traffic;
  Estimate time;                 ///< without live figures
  double wall_ms = 0;            ///< with them: see schedule_cost.h
  int lanes = 1;                 ///< calls under way
  std::vector<std::string> why;  ///< two lines for people
};

/// The words of worker_sees in the order of the data's flow.
const std::vector<std::string_view>& visible_things();

/// Comma-separated words of visible_things(). Throws Error(kInvalidArgument) that suggests.
std::vector<std::string> parse_must_not_see(std::string_view list);

/// The fastest plan by `estimate`; of equals the one with fewer bytes, then fewer calls. Tries
/// every attention, MLP and the wire dtypes f32 and bf16; embedding and LM head move to the runner
/// only if they have to (they cost it memory and time). With live figures also whole prefills and
/// chunks, with as many lanes as pay: what is simpler wins unless it is slower by kWorthIt. Throws
/// Error(kUnsupported), naming what cannot be hidden, if no plan qualifies, and as predict_traffic
/// does.
PlanChoice choose_plan(const ModelConfig& config, const AutoRequest& request);

}  // namespace airlock
