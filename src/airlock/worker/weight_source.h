// Where a backend gets a model's weights from: a checkpoint's files, or random numbers in a test.
#pragma once

#include <cstdint>
#include <functional>

#include "airlock/core/stop.h"
#include "airlock/core/tensor.h"
#include "airlock/model/config.h"
#include "airlock/model/tensor_table.h"

namespace airlock {

/// The matrices of one model as checkpoints store them: dense, row-major, in f32, bf16 or f16 (each
/// may differ), of the shapes that weight_shape() gives. The source outlives the backend. Used from
/// one thread at a time.
class WeightSource {
 public:
  WeightSource() = default;
  WeightSource(const WeightSource&) = delete;
  WeightSource& operator=(const WeightSource&) = delete;
  virtual ~WeightSource() = default;

  [[nodiscard]] virtual const ModelConfig& config() const = 0;
  /// kEmbedding, kLmHead (the embedding itself where config().tie_embeddings) or, of `layer` in
  /// [0, config().layers), a layer's matrix. It may be read, from several threads, until it is
  /// released; kEmbedding, however often that is, for as long as the source lives.
  [[nodiscard]] virtual ConstTensor tensor(Weight weight, int layer) = 0;
  [[nodiscard]] ConstTensor tensor(Weight weight) { return tensor(weight, kNoLayer); }

  /// What `tensor` would give, without reading it.
  [[nodiscard]] virtual TensorSpec spec(Weight weight, int layer) {
    return tensor(weight, layer).spec;
  }
  /// The backend has packed `tensor`, one of the above: its memory may go.
  virtual void release(ConstTensor tensor) = 0;
};

/// That tensor of `source`. Throws Error(kInternal) unless it is as WeightSource promises.
[[nodiscard]] ConstTensor checked_tensor(WeightSource& source, Weight weight, int layer = kNoLayer);

/// Calls body(weight, layer, tensor) for the LM head, the largest, then all layers' matrices in
/// order, each checked. `progress` (may be empty) hears the source's bytes done so far and in all.
/// Throws as checked_tensor, Error(kInterrupted) for `stop` and what `body` throws.
void visit_matrices(WeightSource& source,
                    const std::function<void(std::int64_t done, std::int64_t total)>& progress,
                    const StopToken& stop,
                    const std::function<void(Weight, int layer, ConstTensor)>& body);

/// Bytes of the LM head and all layers' matrices as `source` holds them.
[[nodiscard]] std::int64_t matrix_bytes(WeightSource& source);

}  // namespace airlock
