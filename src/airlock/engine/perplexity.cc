#include "airlock/engine/perplexity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "airlock/core/error.h"
#include "airlock/core/threads.h"
#include "airlock/runner/executor.h"

namespace airlock {
namespace {

constexpr std::int64_t kMaxLogitBytes = std::int64_t{64} << 20;  ///< of one pass

/// Of equals the first, as the greedy sampler chooses. A NaN is never the largest.
std::size_t top(std::span<const float> row) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < row.size(); ++i) {
    if (row[i] > row[best]) best = i;
  }
  return best;
}

/// The passes that feed a window of `fed` tokens, the last `scored` of them with logits.
std::vector<Pass> window_passes(const ModelConfig& config, const Plan& plan, std::int64_t fed,
                                std::int64_t scored) {
  std::int64_t most = std::max<std::int64_t>(
      1, kMaxLogitBytes / (config.vocab * static_cast<std::int64_t>(sizeof(float))));
  if (plan.chunk > 0) most = std::min(most, plan.chunk);
  std::vector<Pass> passes;
  for (std::int64_t at = 0; at < fed; at += most) {
    const std::int64_t tokens = std::min(most, fed - at);
    passes.push_back(
        {at, tokens, std::clamp<std::int64_t>(at + tokens - (fed - scored), 0, tokens)});
  }
  return passes;
}

/// Runs `ids` ([fed]) and hands the logits of the last `scored` positions, pass by pass, to
/// take(first, rows): rows [n, vocab] are positions first.. of the scored ones.
template <typename Take>
void run_window(Executor& executor, const ModelConfig& config, std::span<const std::int64_t> ids,
                std::int64_t scored, const Take& take) {
  const auto fed = static_cast<std::int64_t>(ids.size());
  for (const Pass& pass : window_passes(config, executor.plan(), fed, scored)) {
    const auto rows = executor.run(pass, ids.subspan(static_cast<std::size_t>(pass.position),
                                                     static_cast<std::size_t>(pass.tokens)));
    if (pass.logit_rows > 0) {
      take(pass.position + pass.tokens - pass.logit_rows - (fed - scored), rows);
    }
  }
}

std::span<const float> row_of(std::span<const float> rows, std::int64_t row, std::int64_t vocab) {
  return rows.subspan(static_cast<std::size_t>(row * vocab), static_cast<std::size_t>(vocab));
}

/// Scores of `rows` ([targets, vocab]) against `reference` of the same shape, added in order.
void score_rows(std::span<const float> reference, std::span<const float> rows,
                std::span<const std::int64_t> targets, std::int64_t vocab,
                std::vector<TokenScore>& scores, Quality& quality) {
  scores.resize(targets.size());
  parallel_for(
      static_cast<std::int64_t>(targets.size()), 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto at = static_cast<std::size_t>(i);
          scores[at] =
              score_token(row_of(reference, i, vocab), row_of(rows, i, vocab), targets[at]);
        }
      });
  for (const TokenScore& score : scores) quality.add(score);
}

}  // namespace

std::vector<Window> make_windows(std::int64_t tokens, bool has_bos, std::int64_t window,
                                 std::int64_t stride) {
  require(window >= 2, ErrorCode::kInvalidArgument, "a window of {} tokens, expected at least 2",
          window);
  require(stride >= 1 && stride < window, ErrorCode::kInvalidArgument,
          "a stride of {} tokens, expected 1 to {}: one less than the window", stride, window - 1);
  const std::int64_t first = has_bos ? 0 : 1;
  require(tokens > first, ErrorCode::kInvalidArgument,
          "the text has {} tokens, expected at least {} to score one", tokens, first + 1);
  const std::int64_t width = has_bos ? window - 1 : window;
  std::vector<Window> windows;
  std::int64_t scored_to = first;
  for (std::int64_t begin = 0; scored_to < tokens; begin += stride) {
    const std::int64_t end = std::min(begin + width, tokens);
    windows.push_back({begin, end, end - scored_to});
    scored_to = end;
  }
  return windows;
}

std::vector<Window> check_windows(const ModelConfig& config, std::int64_t tokens, bool has_bos,
                                  const PerplexityOptions& options) {
  require(options.window <= config.max_position, ErrorCode::kInvalidArgument,
          "a window of {} tokens, the model's context is {}", options.window, config.max_position);
  return make_windows(tokens, has_bos, options.window, options.stride);
}

std::int64_t default_window(const ModelConfig& config) {
  std::int64_t window = std::min<std::int64_t>(512, config.max_position);
  if (config.rope_scaling) window = std::min(window, config.rope_scaling->original_max_position);
  return window;
}

double log_sum_exp(std::span<const float> row) {
  const double largest = row[top(row)];
  if (largest == std::numeric_limits<double>::infinity()) return largest;
  double sum = 0;
  for (const float logit : row) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

TokenScore score_token(std::span<const float> reference, std::span<const float> measured,
                       std::int64_t target) {
  const double all_reference = log_sum_exp(reference);
  const double all_measured = log_sum_exp(measured);
  TokenScore score;
  score.nll = all_measured - static_cast<double>(measured[static_cast<std::size_t>(target)]);
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double log_p = static_cast<double>(reference[i]) - all_reference;
    const double p = std::exp(log_p);
    if (p > 0) score.kl += p * (log_p - (static_cast<double>(measured[i]) - all_measured));
  }
  // Exact sums are not negative; these round.
  if (score.kl < 0) score.kl = 0;
  score.same_top = top(reference) == top(measured);
  return score;
}

void Quality::add(const TokenScore& score) {
  ++tokens;
  if (score.same_top) ++same_top;
  if (!std::isfinite(score.nll) || !std::isfinite(score.kl)) ++not_finite;
  token_nll.push_back(score.nll);
  nll += score.nll;
  kl += score.kl;
}

double Quality::perplexity() const {
  return std::exp(nll / static_cast<double>(tokens));
}

double Quality::agreement() const {
  return static_cast<double>(same_top) / static_cast<double>(tokens);
}

double Quality::mean_kl() const {
  return kl / static_cast<double>(tokens);
}

PerplexityResult measure_perplexity(const RunnerModel& model, Operators& reference,
                                    const PlanEndpoint& measured, TrafficCounter& counter,
                                    std::span<const Plan> plans, std::span<const std::int64_t> text,
                                    std::optional<std::int64_t> bos,
                                    const PerplexityOptions& options) {
  const ModelConfig& config = model.config();
  const auto windows =
      check_windows(config, static_cast<std::int64_t>(text.size()), bos.has_value(), options);
  std::int64_t total = 0;
  for (const Window& window : windows) total += window.end - window.begin;
  total *= static_cast<std::int64_t>(plans.size() + 1);

  PerplexityResult result;
  result.windows = static_cast<std::int64_t>(windows.size());
  const ExecutorOptions running{.stop = options.stop};
  Executor whole(model, find_plan("baseline"), reference, running);
  std::vector<std::unique_ptr<Executor>> executors;
  for (const Plan& plan : plans) {
    result.plans.push_back({plan, {}, {}});
    executors.push_back(std::make_unique<Executor>(model, plan, measured(plan), running));
  }

  std::vector<std::int64_t> ids;
  std::vector<float> expected;  // the window's reference logits, [scored, vocab]
  std::vector<TokenScore> scores;
  std::int64_t done = 0;
  for (const Window& window : windows) {
    // What follows the last token is not asked, so it is not fed.
    ids.clear();
    if (bos) ids.push_back(*bos);
    const auto part = text.subspan(static_cast<std::size_t>(window.begin),
                                   static_cast<std::size_t>(window.end - window.begin));
    ids.insert(ids.end(), part.begin(), part.end() - 1);
    const auto targets = part.last(static_cast<std::size_t>(window.scored));
    expected.resize(static_cast<std::size_t>(window.scored * config.vocab));

    const auto run = [&](Executor& executor, Quality& quality, bool is_reference) {
      const double before = quality.nll;
      run_window(executor, config, ids, window.scored,
                 [&](std::int64_t first, std::span<const float> rows) {
                   const auto count = rows.size() / static_cast<std::size_t>(config.vocab);
                   const auto same = std::span(expected).subspan(
                       static_cast<std::size_t>(first * config.vocab), rows.size());
                   if (is_reference) std::copy(rows.begin(), rows.end(), same.begin());
                   score_rows(same, rows, targets.subspan(static_cast<std::size_t>(first), count),
                              config.vocab, scores, quality);
                 });
      quality.window_nll.push_back(quality.nll - before);
      done += window.end - window.begin;
      if (options.progress) options.progress(done, total);
    };
    run(whole, result.reference, true);
    for (std::size_t i = 0; i < executors.size(); ++i) {
      run(*executors[i], result.plans[i].quality, false);
      for (const OpTraffic& op : counter.take().ops) {
        result.plans[i].traffic.add(op.op, op.sent_bytes, op.received_bytes, op.calls);
      }
    }
  }
  return result;
}

}  // namespace airlock
