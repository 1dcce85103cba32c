// Measures a prefill of one plan: the same passes again and again, wall time against the ledger.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "airlock/engine/live_plan.h"
#include "airlock/launch/session.h"
#include "airlock/launch/shield.h"
#include "airlock/ops/operators.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/predict.h"

namespace airlock {

/// Least, middle and greatest of some values.
struct Spread {
  double min = 0;
  double median = 0;
  double max = 0;
};
/// Of an even number of values the median is the mean of the middle two. Zeros for none.
Spread spread_of(std::vector<double> values);

struct MeasureOptions {
  std::int64_t tokens = 1024;  ///< of the prompt: arbitrary but fixed ids
  std::int64_t generated = 0;  ///< as predict_traffic takes it; greedy ids are not fed back
  /// Sequences with that prompt, prefilled one after the other, that generate side by side: at most
  /// kMaxRanges.
  int sequences = 1;
  int repetitions = 3;                              ///< after one run that is not counted
  std::function<void(int done, int all)> progress;  ///< runs done, warm-up included; may throw
  /// Chooses the plan (`--plan auto`) once the session is open, instead of the one given; prompt
  /// and generated tokens are these options'.
  std::optional<LiveRequest> choose = {};
  Shield* shield = nullptr;  ///< for plans of the ring, from measurement to measurement
  /// Makes pads for a whole run before each, as far as their memory goes; not timed.
  bool pads_ahead = false;
};

/// What a plan took. Times are ms; bytes those of one repetition (each is checked to be the same).
struct Measurement {
  Plan plan;
  std::vector<std::string> why;  ///< two lines on the choice, if it was chosen
  int lanes = 1;                 ///< calls under way at most
  std::string link;
  std::optional<LinkShape> shape;  ///< that the link was given
  Traffic traffic;                 ///< from the ledger
  Traffic predicted;
  std::int64_t overhead_bytes = 0;
  int repetitions = 0;
  Spread wall_ms;
  double tokens_per_second = 0;  ///< tokens through all layers / wall median
  SideBySide ran;                ///< of each repetition
  /// Tokens of all sequences after the first of each / median time of those passes; 0 for none.
  double decode_tokens_per_second = 0;
  double runner_ms = 0;  ///< medians: local steps, encode and decode, the shield's work
  double worker_ms = 0;
  double link_ms = 0;                  ///< send and receive
  double pad_ms = 0;                   ///< of runner_ms: making pads
  double check_ms = 0;                 ///< of runner_ms: checking products
  std::int64_t prepared_bytes = 0;     ///< of hints and dealt pads since the shield was made
  std::int64_t pad_rows = 0;           ///< used up by one repetition
  std::int64_t wire_bytes = 0;         ///< of tensors as they travelled: less where compressed
  std::int64_t worker_peak_bytes = 0;  ///< resident, since the session began
  /// Peak resident memory beyond what each side held before the first run: buffers, caches and
  /// shared memory (which both sides count).
  std::int64_t worker_extra_bytes = 0;
  std::int64_t runner_extra_bytes = 0;
  std::vector<LedgerEntry> ledger;  ///< of the last repetition
  Spread reference_ms;              ///< zeros without a reference
  double slowdown = 0;              ///< wall median / reference median
};

/// Runs `plan` (or the one that options.choose leads to) on a fresh session, and in turn with each
/// repetition, if `reference` is not null, the same plan through those operators in this process.
/// Throws Error(kInternal) if repetitions differ in bytes, and what a session throws.
Measurement measure(const RunnerModel& model, const Fingerprint& fingerprint, const Plan& plan,
                    const WorkerOptions& worker, const MeasureOptions& options,
                    Operators* reference);

}  // namespace airlock
