// The keys and values of one sequence, layer by layer.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/tensor.h"
#include "airlock/math/flash_attention.h"
#include "airlock/model/config.h"

namespace airlock {

/// Rows of every layer, head-major ([kv_heads, capacity, head_dim], K then V), so that a head's
/// keys are contiguous for the attention kernel and RoPE writes straight into them. Capacities are
/// powers of two, at least kMinRows, at most the model's context: growth copies each row O(1) times
/// on average. Not thread-safe.
class KvCache {
 public:
  static constexpr std::int64_t kMinRows = 64;

  /// `dtype`: kF32 or kBF16. The config must outlive the cache.
  KvCache(const ModelConfig& config, DType dtype, BufferPool pool);

  /// Throws Error(kSessionLost) if `layer` holds fewer rows than `position`.
  void require_rows(int layer, std::int64_t position) const;
  /// Truncates `layer` to `position` rows and makes room for `tokens` more.
  /// Throws as require_rows, and Error(kResourceExhausted) if there is no memory; then the cache is
  /// as it was.
  void prepare(int layer, std::int64_t position, std::int64_t tokens);
  /// Counts `tokens` rows, written after the rows held since prepare, as held.
  void commit(int layer, std::int64_t tokens);

  /// Gives all memory back to the pool; holds nothing afterwards.
  void clear() noexcept;

  /// Writes `rows` [tokens, kv_heads * head_dim] (f32, bf16 or f16) after the rows held.
  void write_keys(int layer, ConstTensor rows);
  void write_values(int layer, ConstTensor rows);

  /// Rows held.
  [[nodiscard]] std::int64_t rows(int layer) const { return at(layer).rows; }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  /// Elements from one head to the next.
  [[nodiscard]] std::int64_t head_stride(int layer) const;
  /// First key (value) of head 0.
  [[nodiscard]] void* keys(int layer) const { return at(layer).data.data(); }
  [[nodiscard]] void* values(int layer) const;

  /// Bytes asked of the pool; for head sizes and counts that are powers of two (or three times one)
  /// the pool adds nothing.
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
  /// What bytes() would be once `layer` has held `rows`.
  [[nodiscard]] std::int64_t bytes_with(int layer, std::int64_t rows) const;

 private:
  struct Layer {
    Buffer data;
    std::int64_t rows = 0;
    std::int64_t capacity = 0;
  };

  [[nodiscard]] Layer& at(int layer) { return layers_[static_cast<std::size_t>(layer)]; }
  [[nodiscard]] const Layer& at(int layer) const {
    return layers_[static_cast<std::size_t>(layer)];
  }
  [[nodiscard]] std::int64_t capacity_for(const Layer& layer, std::int64_t rows) const;
  [[nodiscard]] std::int64_t bytes_of(std::int64_t capacity) const;
  void grow(Layer& layer, std::int64_t capacity);
  void write(int layer, ConstTensor rows, void* to);

  const ModelConfig& config_;
  DType dtype_;
  BufferPool pool_;
  std::vector<Layer> layers_;
  std::int64_t bytes_ = 0;
};

}  // namespace airlock
