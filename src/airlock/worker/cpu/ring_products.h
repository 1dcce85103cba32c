// RingLinear and PadProduct: exact products in the prime field, on weights in int8.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/stop.h"
#include "airlock/kernels/ring_matrix.h"
#include "airlock/ops/call.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

/// A model's matrices in int8. Empty until prepared.
class RingWeights {
 public:
  RingWeights() = default;
  /// Quantizes and packs every matrix of `source`, and releases it there. `progress` (may be empty)
  /// hears the source's bytes done so far and in all. Throws as pack_ring_matrix, and
  /// Error(kInterrupted) for `stop`.
  RingWeights(WeightSource& source, const BufferPool& pool,
              const std::function<void(std::int64_t, std::int64_t)>& progress,
              const StopToken& stop);

  /// Of a layer, or the LM head without one.
  [[nodiscard]] const RingMatrix& at(int layer, Weight weight) const;
  [[nodiscard]] std::int64_t bytes() const;

 private:
  std::vector<RingMatrix> matrices_;  ///< by layer and weight, then the LM head
};

/// Runs a call of the ring that passed infer_outputs. Both in the dtypes that travel.
void ring_linear(const BufferPool& pool, const RingWeights& weights, const Call& call,
                 ConstTensor x, std::span<const Tensor> outputs);
/// The same on rows of the matrix that `seed` [4] i64 stands for (math/field_random.h).
void pad_product(const BufferPool& pool, const RingWeights& weights, const Call& call,
                 ConstTensor seed, std::span<const Tensor> outputs);

}  // namespace airlock
