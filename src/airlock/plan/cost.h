// How long a plan takes on a link and two hosts, described or measured, with chunks in flight: what
// `airlock plan` estimates and `--plan auto` ranks by. A model to compare plans with, not a
// promise.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/program.h"

namespace airlock {

/// What is known of both sides and of what joins them. What is 0 (or empty) is not known and takes
/// no time.
struct HostRates {
  /// The worker's operators: floating-point operations a second by rows in a call.
  struct Point {
    double rows = 0;
    double flops = 0;
  };
  std::vector<Point> worker;  ///< in order of rows
  std::vector<Point> ring;    ///< its exact products; empty: as the others
  /// Of the runner's shield, values a second with all its cores: making lattice pads (inputs and
  /// outputs of products), checking products, and quantizing, masking and unmasking.
  double pad_values = 0;
  double check_values = 0;
  double shield_values = 0;
  double runner_flops = 0;  ///< the runner's attention and LM head, operations a second
  double runner_bytes = 0;  ///< its elementwise kernels, bytes read and written a second
  double send_rate = 0;     ///< of the link, bytes a second
  double receive_rate = 0;
  double rtt_ms = 0;        ///< round trip of an empty call
  bool same_cores = false;  ///< both sides share processors: their work adds up
};

/// Busy times of the parts that a prefill or a decode goes through, in ms.
struct Stages {
  double runner_ms = 0;  ///< kernels and conversions
  double worker_ms = 0;
  double send_ms = 0;  ///< bytes over the rate
  double receive_ms = 0;
  double round_trips_ms = 0;  ///< calls * rtt

  [[nodiscard]] double link_ms() const noexcept { return send_ms + receive_ms + round_trips_ms; }
  [[nodiscard]] double one_after_the_other() const noexcept {
    return runner_ms + worker_ms + link_ms();
  }
  /// The part that is busy longest: no schedule is shorter.
  [[nodiscard]] double longest(bool same_cores) const noexcept;
};

/// Busy times of prefilling `prompt` tokens in plan.chunk pieces, and of generating the rest.
struct PlanStages {
  Stages prefill;
  Stages decode;
  std::int64_t passes = 1;  ///< of the prefill

  /// Both, where calls follow one another and neither side works while bytes travel.
  [[nodiscard]] Stages sum() const noexcept;
};
/// Framing is not counted. Throws as predict_traffic does.
PlanStages plan_stages(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                       std::int64_t generated, const HostRates& rates);

/// Multiplications and additions of matrix products and attention in one run of a step; norms,
/// softmax, activations and conversions are left out, being of the order of the activations' bytes.
/// Causal attention counts the products it needs, whoever computes it.
double step_flops(const Visit& visit, const ModelConfig& config, const Batch& batch);

/// ms of a run with so many calls under way: in the prefill all but the longest part is hidden as
/// far as lanes (or passes) go, B + (S - B) / lanes for a sum S and a longest part B, the makespan
/// of a balanced pipeline; decoding hides nothing. Sides that share cores lose some of their rates
/// while both work.
[[nodiscard]] double wall_ms(const PlanStages& stages, int lanes, bool same_cores) noexcept;

}  // namespace airlock
