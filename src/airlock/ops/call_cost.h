// What a worker's time for a call goes with, told from the call alone: by it calls take their
// turns.
#pragma once

#include "airlock/model/config.h"
#include "airlock/ops/call.h"

namespace airlock {

/// Multiplications and additions of a call that passed infer_outputs, with those of matrices and
/// attention, causal or not, counted as if every row saw the whole context. Products of few rows
/// take the time in which their weights are read: fewer than kRowsOfAPass count as so many. At
/// least 1. Pure; thread-safe; never allocates.
[[nodiscard]] double call_cost(const ModelConfig& config, const Call& call);

/// Rows that a product computes in about the time in which its weights are read once.
inline constexpr std::int64_t kRowsOfAPass = 16;

}  // namespace airlock
