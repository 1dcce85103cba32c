// Reads back from a ledger which plan ran on which model: dimensions follow from the calls' bytes.
// What was read back is trusted only if the predictor then gives the ledger's bytes again.
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

/// A run as its ledger tells it.
struct InferredRun {
  Plan plan;
  /// Counts the ledger does not reveal hold stand-ins; `knows_…` say which.
  ModelConfig config;
  bool knows_attention = false;  ///< widths of q, k, v
  bool knows_heads = false;      ///< number of heads (only calls of Matmul reveal it)
  bool knows_mlp = false;        ///< ffn
  bool knows_vocab = false;
  std::vector<SequenceLengths> sequences;
  bool exact = false;  ///< prediction and ledger agree, operator for operator

  /// Traffic of the same sequences under another plan. Only meaningful for plans that need no
  /// count that is unknown; see `can_predict`.
  [[nodiscard]] Traffic predict(const Plan& other) const;
  [[nodiscard]] bool can_predict(const Plan& other) const noexcept;
};

/// The run behind a ledger, or nothing if its calls are not those of whole passes of one plan, or
/// if they do not reveal enough (then a `known` configuration may help). With a `known`
/// configuration the result may be inexact: the ledger is of another model, or a call is off.
std::optional<InferredRun> infer_run(std::span<const LedgerEntry> entries,
                                     const ModelConfig* known = nullptr);

}  // namespace airlock
