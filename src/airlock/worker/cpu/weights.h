// A model's matrices as the CPU backend keeps them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "airlock/core/stop.h"
#include "airlock/kernels/weight_matrix.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

struct CpuWeights {
  /// By Weight; those of layer_matrices() are set. One matrix each: measured, products of q, k, v
  /// (or gate, up) one after another take as long as one product of all, and outputs are separate
  /// tensors.
  using Layer = std::array<WeightMatrix, kWeightCount>;

  std::vector<Layer> layers;
  WeightMatrix lm_head;   ///< [vocab, hidden]
  ConstTensor embedding;  ///< [vocab, hidden], the source's own bytes

  [[nodiscard]] const WeightMatrix& at(int layer, Weight weight) const {
    return layers[static_cast<std::size_t>(layer)][static_cast<std::size_t>(weight)];
  }
  /// Bytes of all matrices.
  [[nodiscard]] std::int64_t bytes() const;
};

/// Prepares every matrix of `source` for products in `dtype`, and releases there what it has
/// packed; the rest is read where the source holds it. `progress` (may be empty) hears the source's
/// bytes done so far and in all. Throws Error(kInternal) if the source gives another shape or dtype
/// than WeightSource promises, Error(kInterrupted) for `stop`, Error(kResourceExhausted).
CpuWeights prepare_weights(WeightSource& source, DType dtype, Gemm& gemm,
                           const std::function<void(std::int64_t, std::int64_t)>& progress,
                           const StopToken& stop);

}  // namespace airlock
