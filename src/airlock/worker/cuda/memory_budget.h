// Device memory counted against limits before CUDA is asked for it, and what a model will need.
// Knows nothing of CUDA: every build tests it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "airlock/core/device.h"
#include "airlock/core/dtype.h"
#include "airlock/model/config.h"

namespace airlock::cuda {

/// Counts bytes taken against a limit. Thread-safe.
class MemoryBudget {
 public:
  /// `name` begins errors, `remedy` ends them: "cuda:0: memory for calls", "raise --gpu-memory".
  MemoryBudget(std::string name, std::int64_t limit, std::string remedy)
      : name_(std::move(name)), remedy_(std::move(remedy)), limit_(limit) {}

  /// Throws Error(kResourceExhausted), with what is wanted, used and allowed, past the limit.
  void take(std::int64_t bytes);
  [[nodiscard]] bool fits(std::int64_t bytes) const noexcept { return bytes <= limit_ - used_; }
  void give(std::int64_t bytes) noexcept { used_ -= bytes; }

  [[nodiscard]] std::int64_t used() const noexcept { return used_; }
  [[nodiscard]] std::int64_t limit() const noexcept { return limit_; }

 private:
  std::string name_;
  std::string remedy_;
  std::int64_t limit_;
  std::atomic<std::int64_t> used_{0};
};

/// Bytes of device memory that a model needs, by purpose.
struct MemoryNeeds {
  std::int64_t weights = 0;
  std::int64_t caches = 0;     ///< KV caches of all sessions, and one layer's as it moves to grow
  std::int64_t workspace = 0;  ///< of the products
  std::int64_t calls = 0;      ///< tensors of the largest call of kAssumedTokens

  /// Calls of more tokens take more, as far as there is more.
  static constexpr std::int64_t kAssumedTokens = 1024;
  static constexpr std::int64_t kWorkspace = std::int64_t{32} << 20;

  [[nodiscard]] std::int64_t total() const noexcept { return weights + caches + workspace + calls; }
};

/// Of a model of `config` with weights for `products`: plain ones are in `compute`, and what
/// computes them keeps up to `kv_bytes` of KV caches; those of the ring are int8 and keep nothing.
MemoryNeeds memory_needs(const ModelConfig& config, ProductKinds products, DType compute,
                         std::int64_t kv_bytes);

/// Bytes of all matrices but the embedding, in `compute`, int8 ones with their scales or sums.
std::int64_t matrix_bytes(const ModelConfig& config, DType compute);

/// Left for calls beyond the other needs. Throws Error(kResourceExhausted) that lists the needs and
/// what to change unless they fit `free`, what the device has, and `asked`, --gpu-memory (0: none).
std::int64_t bytes_for_calls(const MemoryNeeds& needs, std::string_view device, std::int64_t free,
                             std::int64_t asked);

}  // namespace airlock::cuda
