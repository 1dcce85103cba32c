// Chooses the next token from logits: greedy, or by temperature, top-k, top-p and min-p.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace airlock {

struct SamplingOptions {
  double temperature = 0.0;  ///< 0: greedy
  std::int64_t top_k = 0;    ///< only the k most likely, and those as likely as the k-th; 0: all
  double top_p = 1.0;        ///< the fewest most likely tokens whose probabilities reach p
  std::uint64_t seed = 0;
  double min_p = 0.0;  ///< only tokens at least p times as probable as the likeliest; 0: all
  /// Logits of tokens that occurred before are divided by it where positive, else multiplied
  /// (Keskar et al. 2019, CTRL); 1: none.
  double repetition_penalty = 1.0;
};

/// Repetition penalty, temperature, top-k, top-p over what top-k left, min-p over what top-p left:
/// the order of transformers' generate. The same seed, tokens seen and logits give the same tokens
/// on every machine. One sampler a sequence. Not thread-safe.
class Sampler {
 public:
  /// Throws Error(kInvalidArgument) for a negative or non-finite temperature, a negative top_k, a
  /// top_p outside (0, 1], a min_p outside [0, 1], or a repetition_penalty that is not a positive
  /// f32.
  explicit Sampler(const SamplingOptions& options);

  /// Tokens that occurred, for the repetition penalty: the prompt's. What `sample` chose is noted
  /// by itself. Throws Error(kInvalidArgument) for a negative id.
  void see(std::span<const std::int64_t> ids);

  /// The id chosen from logits: [vocab] f32. Of equal greedy candidates the first. Throws
  /// Error(kProtocol) if a logit is NaN (a worker may send anything).
  std::int64_t sample(std::span<const float> logits);

 private:
  struct Candidate {
    float logit;
    std::int32_t id;
  };
  /// What is left of the candidates: the `count` likeliest and the sum of their weights.
  struct Kept {
    std::size_t count;
    double total;
  };
  std::span<const float> penalized(std::span<const float> logits);
  std::int64_t draw(std::span<const float> logits);
  Kept keep();
  void keep_top_k(std::size_t k);
  [[nodiscard]] double weight(const Candidate& candidate) const;
  /// The candidate of that rank; sorts as far as is needed.
  const Candidate& ranked(std::size_t rank);
  void sort_more(std::size_t count);

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<Candidate> candidates_;
  std::size_t sorted_ = 0;  ///< candidates at the front that are in order
  float largest_ = 0;       ///< logit of the first
  std::vector<bool> is_seen_;
  std::vector<std::int64_t> seen_;
  std::vector<float> penalized_;
};

}  // namespace airlock
