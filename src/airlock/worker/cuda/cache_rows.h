// How many rows each layer of a sequence's KV cache holds and has room for: the arithmetic of
// kernels/kv_cache.h, apart from where the rows lie. Knows nothing of CUDA.
#pragma once

#include <cstdint>
#include <vector>

#include "airlock/core/dtype.h"
#include "airlock/model/config.h"

namespace airlock::cuda {

/// Capacities are powers of two, at least kMinRows, at most the model's context. Not thread-safe.
class CacheRows {
 public:
  static constexpr std::int64_t kMinRows = 64;

  /// The config must outlive this.
  CacheRows(const ModelConfig& config, DType dtype);

  /// Throws Error(kSessionLost) if `layer` holds fewer rows than `position`.
  void require_rows(int layer, std::int64_t position) const;
  /// Truncates `layer` to `position` rows and makes room for `tokens` more: grow(new capacity) is
  /// called if there is not, and keeps the first `position` rows. Throws Error(kSessionLost) if the
  /// layer holds fewer than `position`, and what `grow` throws; then all is as it was.
  template <typename Grow>
  void prepare(int layer, std::int64_t position, std::int64_t tokens, const Grow& grow) {
    require_rows(layer, position);
    Layer& held = at(layer);
    const std::int64_t wanted = capacity_for(held, position + tokens);
    if (wanted != held.capacity) grow(wanted);
    bytes_ += bytes_of(wanted) - bytes_of(held.capacity);
    held = {position, wanted};
  }
  /// Counts `tokens` rows, written after those held since prepare, as held.
  void commit(int layer, std::int64_t tokens) { at(layer).rows += tokens; }

  [[nodiscard]] std::int64_t rows(int layer) const { return at(layer).rows; }
  [[nodiscard]] std::int64_t capacity(int layer) const { return at(layer).capacity; }
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
  /// What bytes() would be once `layer` has held `rows`.
  [[nodiscard]] std::int64_t bytes_with(int layer, std::int64_t rows) const;
  /// Bytes of keys and values of a layer with that capacity.
  [[nodiscard]] std::int64_t bytes_of(std::int64_t capacity) const;

 private:
  struct Layer {
    std::int64_t rows = 0;
    std::int64_t capacity = 0;
  };

  [[nodiscard]] Layer& at(int layer) { return layers_[static_cast<std::size_t>(layer)]; }
  [[nodiscard]] const Layer& at(int layer) const {
    return layers_[static_cast<std::size_t>(layer)];
  }
  [[nodiscard]] std::int64_t capacity_for(const Layer& layer, std::int64_t rows) const;

  const ModelConfig& config_;
  std::int64_t element_;
  std::vector<Layer> layers_;
  std::int64_t bytes_ = 0;
};

}  // namespace airlock::cuda
