// The runner's own keys and values, for plans that keep attention's memory in the TEE.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/dtype.h"
#include "airlock/math/flash_attention.h"
#include "airlock/math/rope.h"
#include "airlock/model/config.h"

namespace airlock {

/// K and V of every layer, head-major [kv_heads, capacity, head_dim] in f32 or bf16. Keys are
/// stored rotated. Not thread-safe.
class KvCache {
 public:
  /// Room for `capacity` tokens; more makes it grow by doubling. `dtype` is kF32 or kBF16.
  KvCache(const ModelConfig& config, DType dtype, std::int64_t capacity, const BufferPool& pool);

  /// Appends k and v: [tokens, kv_heads * head_dim] f32 at `position`, rotating k; rows from
  /// there on are forgotten first. Throws Error(kInternal) past the rows held.
  void append(int layer, std::int64_t position, const RopeTable& rope, const float* k,
              const float* v, std::int64_t tokens);

  /// Rows held of a layer.
  [[nodiscard]] std::int64_t tokens(int layer) const;
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] ConstHeadsView keys(int layer) const;
  [[nodiscard]] ConstHeadsView values(int layer) const;

 private:
  struct Layer {
    Buffer k;
    Buffer v;
    std::int64_t capacity = 0;
    std::int64_t tokens = 0;
  };
  void grow(Layer& layer, std::int64_t capacity);
  [[nodiscard]] ConstHeadsView view(const Buffer& buffer, const Layer& layer) const;

  std::int64_t kv_heads_;
  std::int64_t head_dim_;
  DType dtype_;
  std::int64_t initial_capacity_;
  BufferPool pool_;
  std::vector<Layer> layers_;
};

}  // namespace airlock
