// What plans of the ring send before a run and beside it, to the byte: hints, and pads that are
// dealt. A run's own traffic is plan/predict.h's.
#pragma once

#include <cstdint>

#include "airlock/model/config.h"
#include "airlock/plan/plan.h"
#include "airlock/shield/lattice.h"

namespace airlock {

/// Payload of both directions that `plan` needs prepared for a prompt and `generated` tokens: for
/// lattice pads all hints of the model, once (none if they are in the cache); for dealt pads the
/// products of the rows that are used, which is the least (a dealer is asked for whole batches);
/// 0 for other plans. Throws as predict_traffic does.
[[nodiscard]] std::int64_t predict_prepared(const ModelConfig& config, const Plan& plan,
                                            const LatticeParameters& lattice, std::int64_t prompt,
                                            std::int64_t generated);

/// Rows of pads that `plan` uses up for a prompt and `generated` tokens: a row for each input row
/// of each group of matrices that share it. 0 without a mask. Throws as predict_traffic does.
[[nodiscard]] std::int64_t predict_pad_rows(const ModelConfig& config, const Plan& plan,
                                            std::int64_t prompt, std::int64_t generated);

}  // namespace airlock
