// The run behind a ledger: model and plan as its first line says, prompts and tokens as that says
// or as its calls show. With these the predictor can be asked what the run should have sent, and
// what another plan would have.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "airlock/model/config.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/predict.h"
#include "airlock/remote/ledger.h"

namespace airlock {

/// One prompt and what was generated from it.
struct SequenceLengths {
  std::int64_t prompt = 0;
  std::int64_t generated = 0;
};

struct LedgerRun {
  ModelConfig config;
  Plan plan;
  std::vector<SequenceLengths> sequences;
  /// What the ledger says of its sequences, all of the same lengths then; else each decoded alone.
  std::optional<SideBySide> side_by_side = {};

  /// Traffic of the same sequences under another plan. Throws as predict_traffic does.
  [[nodiscard]] Traffic predict(const Plan& other) const;
};

/// The sequences of a ledger whose calls are those of `plan` on a model of `config`, or nothing if
/// they cannot be: no pass has begun, one has no whole number of tokens, or they are more than the
/// model's context. Passes are told by the call that each begins with; where a plan leaves no call
/// that only begins passes (embedding in the runner, and q, k, v as wide as gate and up together),
/// nothing is said. With `stated`, which a ledger may say of itself, no call is looked at: the run
/// is that, or nothing if it passes the model's context or takes more passes than there are calls.
std::optional<LedgerRun> find_run(const ModelConfig& config, const Plan& plan,
                                  std::span<const LedgerEntry> entries,
                                  const std::optional<SideBySide>& stated = std::nullopt);

}  // namespace airlock
