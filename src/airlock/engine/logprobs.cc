#include "airlock/engine/logprobs.h"

#include <algorithm>
#include <cmath>

#include "airlock/core/error.h"

namespace airlock {

void compute_logprobs(std::span<const float> logits, std::int64_t token, int top, Logprobs& out) {
  const auto vocab = static_cast<std::int64_t>(logits.size());
  require(token >= 0 && token < vocab, ErrorCode::kInternal, "token {} of {} logits", token, vocab);
  require(top >= 0 && top <= kMaxTopLogprobs, ErrorCode::kInternal, "{} likeliest tokens", top);

  const double largest = *std::max_element(logits.begin(), logits.end());
  // Equal infinities are at distance 0, not NaN.
  const auto distance = [&](float logit) { return logit == largest ? 0.0 : logit - largest; };
  double total = 0;
  for (const float logit : logits) total += std::exp(distance(logit));
  require(!std::isnan(total), ErrorCode::kProtocol, "a logit is not a number");
  const double log_total = std::log(total);
  const auto logprob_of = [&](std::int64_t id) {
    return TokenLogprob{id, distance(logits[static_cast<std::size_t>(id)]) - log_total};
  };

  out.chosen = logprob_of(token);
  out.top.clear();
  const auto logit_of = [&](const TokenLogprob& at) {
    return logits[static_cast<std::size_t>(at.token)];
  };
  for (std::int64_t id = 0; id < vocab && top > 0; ++id) {
    const float logit = logits[static_cast<std::size_t>(id)];
    const bool full = out.top.size() == static_cast<std::size_t>(top);
    if (full && logit <= logit_of(out.top.back())) continue;
    if (full) out.top.pop_back();
    const auto place = std::find_if(out.top.begin(), out.top.end(),
                                    [&](const auto& other) { return logit_of(other) < logit; });
    out.top.insert(place, logprob_of(id));
  }
}

}  // namespace airlock
