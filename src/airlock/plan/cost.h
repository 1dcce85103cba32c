// How long a plan takes on a link one describes: bytes over bandwidth, calls times round trip.
// An estimate to compare plans with, not a promise.
#pragma once

#include <cstdint>

#include "airlock/model/config.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/predict.h"
#include "airlock/plan/program.h"

namespace airlock {

/// A link, the same in both directions.
struct LinkSpeed {
  double bytes_per_second = 0;  ///< 0: not known, bytes take no time
  double rtt_ms = 0;            ///< round trip of an empty call
};

/// Arithmetic rates in floating-point operations a second; 0: not known, takes no time.
struct ComputeRates {
  double worker = 0;
  double runner = 0;
};

/// Multiplications and additions of matrix products and attention. Norms, softmax, activations and
/// conversions are left out: they are of the order of the activations' bytes.
struct Work {
  double worker_flops = 0;
  double runner_flops = 0;
};

/// Time of one plan, in milliseconds.
struct Estimate {
  double link_ms = 0;     ///< calls * rtt + sent / bandwidth + received / bandwidth
  double compute_ms = 0;  ///< work over rates
  [[nodiscard]] double total_ms() const noexcept { return link_ms + compute_ms; }
};

/// Multiplications and additions of a remote step, and of one in the runner (0 for those that Work
/// leaves out), in one pass of one layer.
double remote_flops(const Step& step, const ModelConfig& config, const Pass& pass);
double local_flops(const Step& step, const ModelConfig& config, const Pass& pass);

/// The arithmetic of prefilling and generating as predict_traffic counts them, by side. Causal
/// attention counts the products it needs, whoever computes it; the LM head one row a pass.
/// Throws as predict_traffic does.
Work predict_work(const ModelConfig& config, const Plan& plan, std::int64_t prompt,
                  std::int64_t generated);

/// Calls follow one another and neither side works while bytes travel, as in a runner that sends a
/// request and waits for its reply. Framing is not counted.
Estimate estimate(const Traffic& traffic, const LinkSpeed& link, const Work& work = {},
                  const ComputeRates& rates = {});

}  // namespace airlock
