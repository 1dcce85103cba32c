// How long a plan takes on a link and two hosts that were measured, with chunks in flight: what
// `--plan auto` ranks by. A model to compare plans with, not a promise.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/plan/cost.h"
#include "airlock/plan/plan.h"

namespace airlock {

/// What was measured of both sides and of what joins them.
struct HostRates {
  /// The worker's linear operators: floating-point operations a second by rows in a call.
  struct Point {
    double rows = 0;
    double flops = 0;
  };
  std::vector<Point> worker;    ///< in order of rows, at least one
  double runner_attention = 0;  ///< the runner's flash attention, operations a second
  double runner_bytes = 0;      ///< its elementwise kernels, bytes read and written a second
  double send_rate = 0;         ///< of the link, bytes a second; 0: unlimited
  double receive_rate = 0;
  double rtt_ms = 0;
  bool same_cores = false;  ///< both sides share processors: their work adds up
};

/// Busy times of the parts that a prefill or a decode goes through, in ms.
struct Stages {
  double runner_ms = 0;  ///< kernels and conversions
  double worker_ms = 0;
  double send_ms = 0;  ///< bytes over the rate
  double receive_ms = 0;
  double round_trips_ms = 0;  ///< calls * rtt

  [[nodiscard]] double one_after_the_other() const noexcept {
    return runner_ms + worker_ms + send_ms + receive_ms + round_trips_ms;
  }
  /// The part that is busy longest: no schedule is shorter.
  [[nodiscard]] double longest(bool same_cores) const noexcept;
};

/// Busy times of prefilling `prompt` tokens in plan.chunk pieces, and of generating the rest.
struct PlanStages {
  Stages prefill;
  Stages decode;
  std::int64_t passes = 1;  ///< of the prefill
};
PlanStages plan_stages(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                       std::int64_t generated, const HostRates& rates);

/// ms of a run with so many calls under way: in the prefill all but the longest part is hidden as
/// far as lanes (or passes) go, B + (S - B) / lanes for a sum S and a longest part B, the makespan
/// of a balanced pipeline; decoding hides nothing. Sides that share cores lose some of their rates
/// while both work.
[[nodiscard]] double wall_ms(const PlanStages& stages, int lanes, bool same_cores) noexcept;

}  // namespace airlock
