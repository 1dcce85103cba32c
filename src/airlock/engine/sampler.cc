#include "airlock/engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "airlock/core/error.h"

namespace airlock {

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {
  require(std::isfinite(options.temperature) && options.temperature >= 0,
          ErrorCode::kInvalidArgument, "temperature is {}, expected 0 (greedy) or more",
          options.temperature);
  require(options.top_k >= 0, ErrorCode::kInvalidArgument, "top-k is {}, expected 0 (all) or more",
          options.top_k);
  require(options.top_p > 0 && options.top_p <= 1, ErrorCode::kInvalidArgument,
          "top-p is {}, expected more than 0 and at most 1", options.top_p);
}

std::int64_t Sampler::sample(std::span<const float> logits) {
  require(!logits.empty(), ErrorCode::kInternal, "no logits to sample from");
  if (options_.temperature == 0) return greedy(logits);
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    require(!std::isnan(logits[i]), ErrorCode::kProtocol, "the logit of token {} is not a number",
            i);
    candidates_.push_back({logits[i], static_cast<std::int32_t>(i)});
  }
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  if (options_.top_k > 0 && options_.top_k < static_cast<std::int64_t>(candidates_.size())) {
    std::nth_element(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                     likelier);
    candidates_.resize(static_cast<std::size_t>(options_.top_k));
  }
  std::sort(candidates_.begin(), candidates_.end(), likelier);
  weights_.clear();
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    const double distance = static_cast<double>(candidate.logit) - candidates_.front().logit;
    // Equal infinities are at distance 0, not NaN.
    const double weight = candidate.logit == candidates_.front().logit
                              ? 1.0
                              : std::exp(distance / options_.temperature);
    weights_.push_back(weight);
    total += weight;
  }
  if (options_.top_p < 1) {
    double kept = 0;
    std::size_t count = 0;
    while (count < weights_.size() && kept < options_.top_p * total) kept += weights_[count++];
    weights_.resize(count);
    total = kept;
  }
  // 53 bits of the generator, not std::uniform_real_distribution: that differs between libraries.
  double ticket = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (ticket < weights_[i]) return candidates_[i].id;
    ticket -= weights_[i];
  }
  return candidates_[weights_.size() - 1].id;
}

std::int64_t Sampler::greedy(std::span<const float> logits) const {
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    require(!std::isnan(logits[i]), ErrorCode::kProtocol, "the logit of token {} is not a number",
            i);
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<std::int64_t>(best);
}

}  // namespace airlock
