// Chooses the next token from logits: greedy, or by temperature, top-k and top-p.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace airlock {

struct SamplingOptions {
  double temperature = 0.0;  ///< 0: greedy
  std::int64_t top_k = 0;    ///< only the k most likely; 0: all
  double top_p = 1.0;        ///< the fewest most likely tokens whose probabilities reach p
  std::uint64_t seed = 0;
};

/// Temperature, then top-k, then top-p over what top-k left, as transformers' generate orders them.
/// The same seed and logits give the same tokens on every machine. Not thread-safe.
class Sampler {
 public:
  /// Throws Error(kInvalidArgument) for a negative or non-finite temperature, a negative top_k, or
  /// a top_p outside (0, 1].
  explicit Sampler(const SamplingOptions& options);

  /// The id chosen from logits: [vocab] f32. Of equal greedy candidates the first. Throws
  /// Error(kProtocol) if a logit is NaN (a worker may send anything).
  std::int64_t sample(std::span<const float> logits);

 private:
  struct Candidate {
    float logit;
    std::int32_t id;
  };
  std::int64_t greedy(std::span<const float> logits) const;

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
};

}  // namespace airlock
