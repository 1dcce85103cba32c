// The table `airlock perplexity` prints: what each plan costs in quality, and its bytes.
#pragma once

#include <string>

#include "airlock/core/dtype.h"
#include "airlock/engine/perplexity.h"
#include "airlock/report/table.h"

namespace airlock {

struct PerplexityHeading {
  std::string model;
  std::string text;
  std::int64_t window = 0;
  std::int64_t stride = 0;
  DType compute_dtype = DType::kF32;  ///< of the worker's products
};

/// One row for the reference, then one for each plan. CSV and JSON have the keys "plan",
/// "wire_dtype", "compute_dtype", "calls", "sent_bytes", "received_bytes", "total_bytes" (null for
/// the reference), "perplexity", "perplexity_change_percent" (against the reference),
/// "top1_agreement_percent", "mean_kl" (nats), "windows", "window", "stride", "tokens" (scored),
/// "model", "text".
Table perplexity_table(const PerplexityHeading& heading, const PerplexityResult& result);

}  // namespace airlock
