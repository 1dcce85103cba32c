// The table `airlock perplexity` prints: what each plan costs in quality, and its bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "airlock/core/dtype.h"
#include "airlock/engine/perplexity.h"
#include "airlock/engine/token_pieces.h"
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

/// One row for each scored token, `text` being the text's ids. CSV and JSON have the keys
/// "position" (in the text, from 0, no BOS counted), "token" (its id), "text" (quoted as in JSON),
/// "reference_nll", and for each plan "nll_PLAN_WIRE", e.g. "nll_flash_bf16": -log of the token's
/// probability, in nats, null where it is not finite.
Table token_table(const PerplexityResult& result, std::span<const std::int64_t> text,
                  TokenPieces& pieces);

}  // namespace airlock
