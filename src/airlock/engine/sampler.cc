#include "airlock/engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "airlock/core/error.h"

namespace airlock {
namespace {

void require_number(float logit, std::size_t id) {
  require(!std::isnan(logit), ErrorCode::kProtocol, "the logit of token {} is not a number", id);
}

std::int64_t likeliest(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    require_number(logits[i], i);
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<std::int64_t>(best);
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {
  require(std::isfinite(options.temperature) && options.temperature >= 0,
          ErrorCode::kInvalidArgument, "temperature is {}, expected 0 (greedy) or more",
          options.temperature);
  require(options.top_k >= 0, ErrorCode::kInvalidArgument, "top-k is {}, expected 0 (all) or more",
          options.top_k);
  require(options.top_p > 0 && options.top_p <= 1, ErrorCode::kInvalidArgument,
          "top-p is {}, expected more than 0 and at most 1", options.top_p);
  require(options.min_p >= 0 && options.min_p <= 1, ErrorCode::kInvalidArgument,
          "min-p is {}, expected 0 (all) to 1", options.min_p);
  const auto penalty = static_cast<float>(options.repetition_penalty);
  require(penalty > 0 && std::isfinite(penalty), ErrorCode::kInvalidArgument,
          "the repetition penalty is {}, expected more than 0 (1: none)",
          options.repetition_penalty);
}

void Sampler::see(std::span<const std::int64_t> ids) {
  if (options_.repetition_penalty == 1) return;
  for (const std::int64_t id : ids) {
    require(id >= 0, ErrorCode::kInvalidArgument, "token id {} is negative", id);
    const auto index = static_cast<std::size_t>(id);
    if (index >= is_seen_.size()) is_seen_.resize(index + 1);
    if (is_seen_[index]) continue;
    is_seen_[index] = true;
    seen_.push_back(id);
  }
}

std::int64_t Sampler::sample(std::span<const float> logits) {
  require(!logits.empty(), ErrorCode::kInternal, "no logits to sample from");
  const std::span<const float> scores = penalized(logits);
  const std::int64_t token = options_.temperature == 0 ? likeliest(scores) : draw(scores);
  see({&token, 1});
  return token;
}

std::span<const float> Sampler::penalized(std::span<const float> logits) {
  if (seen_.empty()) return logits;
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  penalized_.assign(logits.begin(), logits.end());
  for (const std::int64_t id : seen_) {
    const auto index = static_cast<std::size_t>(id);
    if (index >= penalized_.size()) continue;
    float& logit = penalized_[index];
    logit = logit < 0 ? logit * penalty : logit / penalty;
  }
  return penalized_;
}

std::int64_t Sampler::draw(std::span<const float> logits) {
  candidates_.clear();
  sorted_ = 0;
  largest_ = logits.front();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    require_number(logits[i], i);
    largest_ = std::max(largest_, logits[i]);
    candidates_.push_back({logits[i], static_cast<std::int32_t>(i)});
  }
  if (options_.top_k > 0 && options_.top_k < static_cast<std::int64_t>(candidates_.size())) {
    keep_top_k(static_cast<std::size_t>(options_.top_k));
  }
  const Kept kept = keep();
  // 53 bits of the generator, not std::uniform_real_distribution: that differs between libraries.
  double ticket = static_cast<double>(random_() >> 11) * 0x1p-53 * kept.total;
  std::int64_t chosen = ranked(0).id;
  for (std::size_t i = 0; i < kept.count; ++i) {
    const Candidate& candidate = ranked(i);
    const double share = weight(candidate);
    if (share == 0)
      break;  // rounding may leave a rest of the ticket that nobody with a share takes
    chosen = candidate.id;
    if (ticket < share) break;
    ticket -= share;
  }
  return chosen;
}

void Sampler::keep_top_k(std::size_t k) {
  sort_more(k);
  const float least = candidates_[k - 1].logit;
  const auto rest = candidates_.begin() + static_cast<std::ptrdiff_t>(k);
  const auto end = std::partition(rest, candidates_.end(),
                                  [=](const Candidate& other) { return other.logit == least; });
  // Of equal logits, so in the order of ids; a partition leaves them in any.
  std::sort(rest, end, [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  candidates_.erase(end, candidates_.end());
  sorted_ = candidates_.size();
}

Sampler::Kept Sampler::keep() {
  Kept all{candidates_.size(), 0};
  // In the order of ids, or sorted whole by top-k: not as a library's partition happens to leave
  // it.
  for (const Candidate& candidate : candidates_) all.total += weight(candidate);
  if (options_.top_p == 1 && options_.min_p == 0) return all;
  Kept kept{0, 0};
  while (kept.count < all.count &&
         (options_.top_p == 1 || kept.total < options_.top_p * all.total)) {
    const double share = weight(ranked(kept.count));
    if (share < options_.min_p) break;
    kept.total += share;
    ++kept.count;
  }
  return kept;
}

double Sampler::weight(const Candidate& candidate) const {
  // Equal infinities are at distance 0, not NaN.
  if (candidate.logit == largest_) return 1;
  return std::exp((static_cast<double>(candidate.logit) - largest_) / options_.temperature);
}

const Sampler::Candidate& Sampler::ranked(std::size_t rank) {
  // Few of a large vocabulary are ever looked at: sorting all of it would take longer than
  // decoding.
  constexpr std::size_t kFirst = 256;
  if (rank >= sorted_) sort_more(std::max({rank + 1, kFirst, 4 * sorted_}));
  return candidates_[rank];
}

void Sampler::sort_more(std::size_t count) {
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto from = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted_);
  sorted_ = std::min(count, candidates_.size());
  std::partial_sort(from, candidates_.begin() + static_cast<std::ptrdiff_t>(sorted_),
                    candidates_.end(), likelier);
}

}  // namespace airlock
