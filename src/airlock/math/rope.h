// Rotary position embedding (RoPE) in Hugging Face's rotate_half convention, with llama3 scaling.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "airlock/core/dtype.h"
#include "airlock/math/rope_scaling.h"

namespace airlock {

/// The head_dim / 2 inverse frequencies theta^(-2i / head_dim), scaled if asked for. Source:
/// transformers, modeling_rope_utils.py, `_compute_llama3_parameters`.
/// Throws Error(kInvalidArgument) for an odd or non-positive head_dim, theta <= 0, or scaling
/// factors that are not positive and finite or whose high is not above their low.
std::vector<double> rope_inverse_frequencies(std::int64_t head_dim, double theta,
                                             const std::optional<Llama3RopeScaling>& scaling);

/// Cosines and sines per position, computed in f64 and kept as f32, and the rotation that uses
/// them. Grows by doubling when a higher position is first asked for, so a steady state allocates
/// nothing. Thread-safe. Methods throw Error(kInvalidArgument) for negative arguments.
class RopeTable {
 public:
  /// Throws as rope_inverse_frequencies.
  RopeTable(std::int64_t head_dim, double theta,
            const std::optional<Llama3RopeScaling>& scaling = std::nullopt);

  [[nodiscard]] std::int64_t head_dim() const noexcept { return head_dim_; }
  /// Makes positions [0, positions) ready.
  void reserve(std::int64_t positions) const;

  /// Rotates x: [tokens, heads * head_dim] f32 in place; row t stands at `position` + t.
  void apply(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t position) const;

  /// Rotates x: [tokens, heads * head_dim] f32 into head-major out: row t of head h goes to
  /// out + h * head_stride + (first_row + t) * head_dim. `head_stride` counts elements
  /// (row_capacity * head_dim for a cache), so that K is appended to a cache in one pass.
  void apply_to_heads(const float* x, std::int64_t tokens, std::int64_t heads,
                      std::int64_t position, float* out, std::int64_t head_stride,
                      std::int64_t first_row) const;
  /// The same, rounded to bf16.
  void apply_to_heads(const float* x, std::int64_t tokens, std::int64_t heads,
                      std::int64_t position, BF16* out, std::int64_t head_stride,
                      std::int64_t first_row) const;

 private:
  struct Rows;
  [[nodiscard]] std::shared_ptr<const Rows> rows(std::int64_t positions) const;

  std::int64_t head_dim_;
  std::vector<double> frequencies_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Rows> rows_;
};

}  // namespace airlock
