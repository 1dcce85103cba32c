// What runs through all layers in one go: rows of one sequence, or of several side by side.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "airlock/ops/call.h"
#include "airlock/plan/plan.h"

namespace airlock {

/// Tokens [position, position + tokens) of a sequence.
struct Pass {
  std::int64_t position = 0;
  std::int64_t tokens = 0;
  std::int64_t logit_rows = 0;  ///< the last so many rows get logits; 0: none
  std::uint32_t sequence = 0;
};

/// Passes of different sequences that share every linear call: their rows follow one another in
/// the order of the passes, and so do the rows of logits. At most kMaxRanges. A value type that
/// never allocates.
class Batch {
 public:
  Batch() = default;
  Batch(const Pass& pass) { add(pass); }  // NOLINT: a batch of one
  explicit Batch(std::span<const Pass> passes) {
    for (const Pass& pass : passes) add(pass);
  }
  /// Throws Error(kInternal) past kMaxRanges passes.
  void add(const Pass& pass) {
    passes_.push_back(pass);
    tokens_ += pass.tokens;
    logit_rows_ += pass.logit_rows;
  }

  [[nodiscard]] int size() const noexcept { return passes_.size(); }
  [[nodiscard]] const Pass& operator[](int i) const { return passes_[i]; }
  [[nodiscard]] const Pass* begin() const noexcept { return passes_.begin(); }
  [[nodiscard]] const Pass* end() const noexcept { return passes_.end(); }
  [[nodiscard]] std::int64_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::int64_t logit_rows() const noexcept { return logit_rows_; }

 private:
  InlineList<Pass, kMaxRanges> passes_;
  std::int64_t tokens_ = 0;
  std::int64_t logit_rows_ = 0;
};

/// The passes that prefill `prompt` tokens (in pieces of plan.chunk) and then decode
/// `generated` - 1 more, since the prefill yields the first. Logits of the last position only.
std::vector<Pass> make_passes(const Plan& plan, std::int64_t prompt, std::int64_t generated);

}  // namespace airlock
