// A model's matrices on the GPU: uploaded once, in the compute dtype (int8 rows with their scales,
// or, for exact products, with their sums); q, k and v as one matrix, gate and up as another.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "airlock/core/stop.h"
#include "airlock/worker/cuda/device_memory.h"
#include "airlock/worker/cuda/layer_layout.h"
#include "airlock/worker/weight_source.h"

namespace airlock::cuda {

/// Rows of a matrix [.., in] on the device: dense, or int8 rows padded with zeros.
struct MatrixRows {
  const std::byte* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t in = 0;
  std::int64_t stride = 0;             ///< elements from row to row: row_stride()
  const float* scales = nullptr;       ///< [rows] for int8 of plain products
  const std::int32_t* sums = nullptr;  ///< [rows] of each row's elements, for exact products
};

/// What matrices are uploaded for.
struct WeightUse {
  DType dtype = DType::kBF16;  ///< int8 if `ring`
  /// Exact products: rows are quantize_weight_rows', and their sums lie where others have scales.
  bool ring = false;
};

class DeviceWeights {
 public:
  /// Uploads everything but the embedding, releasing each tensor from `source` as it goes.
  /// `progress` (may be empty) hears the source's bytes so far and in all. Throws Error(kInternal)
  /// if the source gives another shape or dtype than WeightSource promises, Error(kInvalidArgument)
  /// for a value of exact products' weights that is not finite, Error(kInterrupted) for `stop`, and
  /// as DeviceBuffer does.
  DeviceWeights(WeightSource& source, const WeightUse& use, MemoryBudget& budget,
                const std::function<void(std::int64_t, std::int64_t)>& progress,
                const StopToken& stop);

  /// The rows of `first` and all that follows it up to `last` in the same matrix: (kQ, kV) is all
  /// of q, k, v. They must lie in one matrix in that order.
  [[nodiscard]] MatrixRows at(int layer, Weight first, Weight last) const;
  [[nodiscard]] MatrixRows at(int layer, Weight weight) const { return at(layer, weight, weight); }
  [[nodiscard]] MatrixRows lm_head() const;

  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

 private:
  /// `matrix`, beside whose rows lies what `offset` in `block` says.
  [[nodiscard]] MatrixRows with_extras(MatrixRows matrix, const DeviceBuffer& block,
                                       std::int64_t offset) const;

  ModelConfig config_;
  WeightUse use_;
  LayerLayout layout_;  ///< of each layer
  HeadLayout head_layout_;
  std::vector<DeviceBuffer> layers_;
  DeviceBuffer lm_head_;
  std::int64_t bytes_ = 0;
};

}  // namespace airlock::cuda
