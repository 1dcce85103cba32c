// A model's matrices as the CPU backend keeps them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "airlock/worker/cpu/gemm.h"
#include "airlock/worker/weight_source.h"

namespace airlock {

struct CpuWeights {
  /// By Weight. One packed matrix each: measured, products of q, k, v (or gate, up) one after
  /// another take as long as one product of all, and outputs are separate tensors.
  using Layer = std::array<PackedMatrix, kWeightCount>;

  std::vector<Layer> layers;
  PackedMatrix lm_head;   ///< [vocab, hidden]
  ConstTensor embedding;  ///< [vocab, hidden], the source's own bytes

  [[nodiscard]] const PackedMatrix& at(int layer, Weight weight) const {
    return layers[static_cast<std::size_t>(layer)][static_cast<std::size_t>(weight)];
  }
  /// Bytes of all packed matrices.
  [[nodiscard]] std::int64_t bytes() const noexcept;
};

/// Packs every matrix of `source` into `dtype`, releasing each as it goes. `progress` (may be
/// empty) hears the source's bytes packed so far and in all. Throws Error(kInternal) if the source
/// gives another shape or dtype than WeightSource promises, Error(kInterrupted),
/// Error(kResourceExhausted).
CpuWeights pack_weights(WeightSource& source, DType dtype, Gemm& gemm,
                        const std::function<void(std::int64_t, std::int64_t)>& progress);

}  // namespace airlock
