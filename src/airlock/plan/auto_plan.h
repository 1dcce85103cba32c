// `--plan auto`: the fastest plan on a link that shows the worker no more than one allows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/plan/cost.h"
#include "airlock/plan/knobs.h"
#include "airlock/plan/predict.h"

namespace airlock {

/// What to choose a plan for.
struct AutoRequest {
  std::int64_t prompt = 0;     ///< tokens to prefill
  std::int64_t generated = 0;  ///< tokens to generate
  HostRates rates;             ///< send_rate 0 and no lanes: plans rank by bytes, then by calls
  std::vector<std::string> must_not_see;  ///< words of worker_sees
  Knobs fixed;                            ///< knobs that are not to be varied
  /// Calls that may be under way: chunks and lanes are chosen as well. 0: both stay as they are.
  int most_lanes = 0;
};

struct PlanChoice {
  Plan plan;
  Traffic traffic;
  double wall_ms = 0;            ///< by the rates
  int lanes = 1;                 ///< calls under way
  std::vector<std::string> why;  ///< two lines for people
};

/// Comma-separated words of visible_things(). Throws Error(kInvalidArgument) that suggests.
std::vector<std::string> parse_must_not_see(std::string_view list);

/// The fastest plan by the rates; of equals the one with fewer bytes, then fewer calls. Tries
/// every attention, MLP and the wire dtypes f32 and bf16; embedding and LM head move to the runner
/// only if they have to (they cost it memory and time). Hidden states, q, k, v and the MLP are
/// hidden by the ring's presets alone, which are tried then, or if a fixed knob is of the ring.
/// With lanes to choose also whole prefills and chunks, with as many lanes as pay: what is simpler
/// wins unless it is slower by kWorthIt. Throws Error(kUnsupported), naming what cannot be hidden,
/// if no plan qualifies, and as predict_traffic does.
PlanChoice choose_plan(const ModelConfig& config, const AutoRequest& request);

}  // namespace airlock
