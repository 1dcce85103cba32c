// The algebra of attention over parts of a context: partial results merge in any order.
#pragma once

#include <cmath>

namespace airlock {

/// What attention over a set of keys leaves behind for one query row, besides its unnormalised
/// output o = sum_j 2^(s_j - max) v_j: with s_j the scaled score times log2(e),
///   max = max_j s_j,   sum = sum_j 2^(s_j - max).
/// The result is o / sum. States of disjoint key sets A and B merge into that of their union:
///   max = max(A.max, B.max),  a = 2^(A.max - max),  b = 2^(B.max - max),
///   sum = a A.sum + b B.sum,  o = a A.o + b B.o.
/// Merging is commutative, associative up to rounding, and AttentionState{} (no keys, o = 0) is
/// its neutral element. (As flashinfer's state.cuh; the online softmax of Milakov and Gimelshein.)
struct AttentionState {
  /// Finite, so that max - max is 0 and not NaN when there are no keys yet.
  static constexpr float kNoKeys = -3.0e38F;

  float max = kNoKeys;
  float sum = 0;

  /// Factors for the two unnormalised outputs.
  struct Weights {
    float a;
    float b;
  };

  /// Makes this the state of both key sets; scale this output by `a`, the other's by `b`, and add.
  Weights merge(const AttentionState& other) noexcept {
    const float top = std::fmax(max, other.max);
    const Weights weights = {std::exp2(max - top), std::exp2(other.max - top)};
    sum = weights.a * sum + weights.b * other.sum;
    max = top;
    return weights;
  }
};

}  // namespace airlock
