// A model's matrices on the GPU: uploaded once, in the compute dtype; q, k and v as one matrix,
// gate and up as another.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "airlock/worker/cuda/device_memory.h"
#include "airlock/worker/cuda/layer_layout.h"
#include "airlock/worker/weight_source.h"

namespace airlock::cuda {

/// Rows of a matrix [.., in], dense, on the device.
struct MatrixRows {
  const std::byte* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t in = 0;
};

class DeviceWeights {
 public:
  /// Uploads everything but the embedding, releasing each tensor from `source` as it goes.
  /// `progress` (may be empty) hears the source's bytes so far and in all. Throws Error(kInternal)
  /// if the source gives another shape or dtype than WeightSource promises, Error(kInterrupted),
  /// and as DeviceBuffer does.
  DeviceWeights(WeightSource& source, DType compute, MemoryBudget& budget,
                const std::function<void(std::int64_t, std::int64_t)>& progress);

  /// The rows of `first` and all that follows it up to `last` in the same matrix: (kQ, kV) is all
  /// of q, k, v. They must lie in one matrix in that order.
  [[nodiscard]] MatrixRows at(int layer, Weight first, Weight last) const;
  [[nodiscard]] MatrixRows at(int layer, Weight weight) const { return at(layer, weight, weight); }
  [[nodiscard]] MatrixRows lm_head() const;

  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

 private:
  struct Layer {
    DeviceBuffer block;
    std::array<std::int64_t, kWeightCount> offsets{};
  };

  ModelConfig config_;
  std::vector<Layer> layers_;
  DeviceBuffer lm_head_;
  std::int64_t bytes_ = 0;
};

}  // namespace airlock::cuda
