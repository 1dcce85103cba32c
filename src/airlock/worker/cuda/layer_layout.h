// Where a layer's matrices lie in its block of device memory: q, k, v without a gap, so that they
// are one matrix to a product, and gate, up likewise. Knows nothing of CUDA.
#pragma once

#include <array>
#include <cstdint>

#include "airlock/core/dtype.h"
#include "airlock/model/config.h"
#include "airlock/wire/call.h"

namespace airlock::cuda {

struct LayerLayout {
  static constexpr std::int64_t kAlignment = 256;  ///< what cuBLASLt's fastest kernels ask

  std::array<std::int64_t, kWeightCount> offsets{};  ///< bytes, by Weight
  std::int64_t bytes = 0;
};

LayerLayout layer_layout(const ModelConfig& config, DType compute);

/// True if `next` lies right behind `weight`.
bool adjacent(Weight weight, Weight next) noexcept;

/// Weights [first, first + count) of a call's list that are neighbours in one matrix: as many as
/// there are from `first` on.
int adjacent_run(const Weights& weights, int first) noexcept;

}  // namespace airlock::cuda
