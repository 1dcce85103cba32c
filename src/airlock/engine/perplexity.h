// What a plan costs in quality: a held-out text scored through a worker against the same model in
// f32 in this process. Windows, scores of one token, and the measurement over both.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "airlock/core/stop.h"
#include "airlock/ops/endpoint.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/predict.h"
#include "airlock/remote/ledger.h"
#include "airlock/runner/runner_model.h"

namespace airlock {

/// One window of a text: its tokens [begin, end), after a BOS if windows begin with one. The last
/// `scored` of them are scored, each given all before it in the window.
struct Window {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t scored = 0;
  friend bool operator==(const Window&, const Window&) = default;
};

/// The strided windows of Hugging Face's perplexity guide, but that each window begins with a BOS
/// where the tokenizer adds one. A window holds `window` tokens, that BOS counted: window k is
/// tokens [k * stride, min(k * stride + width, tokens)) of the text, width = window - 1 with a BOS,
/// else window; the last is the first that reaches the end. Each scores the tokens that no window
/// before it held, so every token is scored exactly once, but for the text's first where no BOS
/// comes before it. Only the last window may be shorter.
/// Throws Error(kInvalidArgument) unless 2 <= window, 1 <= stride < window, and the text has a
/// token to score.
std::vector<Window> make_windows(std::int64_t tokens, bool has_bos, std::int64_t window,
                                 std::int64_t stride);

/// The window if none is named: 512 tokens, or the model's context if that is shorter, or the
/// context it had before its RoPE was stretched (what it saw in training) if that is shorter still.
std::int64_t default_window(const ModelConfig& config);

/// log(sum(exp(row))), row: [vocab] f32, summed in f64 from its largest down. NaN if a logit is NaN
/// or all are -infinity; +infinity stays so.
double log_sum_exp(std::span<const float> row);

/// One position scored: the measured distribution against the reference.
struct TokenScore {
  double nll = 0;         ///< -log of the probability of the text's token, in nats
  double kl = 0;          ///< KL(reference || measured) = sum p_ref (log p_ref - log p), in nats
  bool same_top = false;  ///< the same likeliest token; of equals the first
};

/// Scores `measured` against `reference` (both [vocab] f32 logits) for the text's token `target`.
/// Not finite where a logit of either is not.
TokenScore score_token(std::span<const float> reference, std::span<const float> measured,
                       std::int64_t target);

/// Scores added up. A value type.
struct Quality {
  std::int64_t tokens = 0;         ///< scored
  std::int64_t same_top = 0;       ///< of them
  std::int64_t not_finite = 0;     ///< of them: logits overflowed, or the worker sent such
  double nll = 0;                  ///< sum, in nats
  double kl = 0;                   ///< sum, in nats
  std::vector<double> window_nll;  ///< of each window, in nats
  std::vector<double> token_nll;   ///< of each scored token, in the order of the text, in nats

  void add(const TokenScore& score);
  [[nodiscard]] double perplexity() const;  ///< exp(nll / tokens)
  [[nodiscard]] double agreement() const;   ///< share of same_top
  [[nodiscard]] double mean_kl() const;     ///< nats a token
};

/// Adds up the tensor bytes of calls, but for those that prepare runs. Not thread-safe.
class TrafficCounter final : public LedgerSink {
 public:
  void record(const LedgerEntry& entry) override {
    if (!prepares(entry.op)) traffic_.add(entry.op, entry.sent_bytes, entry.received_bytes);
  }
  /// What crossed since the last take, or since the beginning.
  [[nodiscard]] Traffic take() { return std::exchange(traffic_, {}); }

 private:
  Traffic traffic_;
};

/// The endpoint that a plan's calls go to, valid for as long as the plans are measured.
using PlanEndpoint = std::function<Endpoint(const Plan&)>;

struct PerplexityOptions {
  std::int64_t window = 512;
  std::int64_t stride = 256;
  /// Called with the tokens run through a plan so far and in all. May throw.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  /// Ends it at the next layer with Error(kInterrupted).
  StopToken stop = {};
};

/// The windows of a text of `tokens` tokens, as make_windows gives them. Throws as it does, and
/// Error(kInvalidArgument) for a window longer than the model's context.
std::vector<Window> check_windows(const ModelConfig& config, std::int64_t tokens, bool has_bos,
                                  const PerplexityOptions& options);

struct PlanQuality {
  Plan plan;
  Quality quality;
  Traffic traffic;  ///< of all windows; every scored position's logits come back
};

struct PerplexityResult {
  std::int64_t windows = 0;
  Quality reference;  ///< against itself
  std::vector<PlanQuality> plans;
};

/// Scores `text` ([tokens] ids, without a BOS) under each plan through `measured`'s, whose clients
/// record in `counter`, and under plan baseline in f32 through `reference` in this process.
/// Each window is one pass, or as many as plan.chunk, or 64 MiB of logits a pass, demand. Memory:
/// the logits of one window, and per plan those of one pass and its activations.
/// Throws as check_windows does, Error(kInvalidArgument) for ids outside the vocabulary, and what
/// Operators::submit throws.
PerplexityResult measure_perplexity(const RunnerModel& model, Operators& reference,
                                    const PlanEndpoint& measured, TrafficCounter& counter,
                                    std::span<const Plan> plans, std::span<const std::int64_t> text,
                                    std::optional<std::int64_t> bos,
                                    const PerplexityOptions& options);

}  // namespace airlock
