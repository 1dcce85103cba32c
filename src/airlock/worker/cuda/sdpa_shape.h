// Attention that cuDNN may be asked for: its shape, and from when on a plan for that shape pays.
// Knows nothing of CUDA.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>

#include "airlock/core/dtype.h"

namespace airlock::cuda {

/// Causal attention of `tokens` rows, the last of a context of position + tokens, over a cache of
/// [kv_heads, cache_rows, head_dim].
struct SdpaShape {
  std::int64_t tokens = 0;
  std::int64_t position = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t cache_rows = 0;
  DType dtype = DType::kBF16;  ///< bf16 or f16, of all four tensors

  friend bool operator==(const SdpaShape&, const SdpaShape&) = default;

  [[nodiscard]] std::int64_t context() const noexcept { return position + tokens; }
  /// Of both products, masked ones left out.
  [[nodiscard]] double flops() const noexcept {
    const double pairs = static_cast<double>(tokens) *
                         (static_cast<double>(position) + 0.5 * static_cast<double>(tokens + 1));
    return 4.0 * static_cast<double>(heads * head_dim) * pairs;
  }
};

/// Plans by shape, the least recently used making room. cuDNN compiles a plan for about a second,
/// and prompts come in every length: a plan is made once our own kernel has done so much work on
/// its shape that it might have paid already. Not thread-safe.
template <typename Plan>
class SdpaPlans {
 public:
  /// A prompt of 128 Ki tokens comes in some 150 pieces, each a shape of its own, in each layer.
  static constexpr std::size_t kMost = 256;

  /// `worth`: floating-point operations on a shape after which its plan is made.
  explicit SdpaPlans(double worth) : worth_(worth) {}

  /// The plan for `shape`, or null as long as it is not worth it. make() gives a unique_ptr of a
  /// plan, or null if there is none; it is asked once.
  template <typename Make>
  Plan* find(const SdpaShape& shape, const Make& make) {
    Entry& entry = at(shape);
    if (entry.asked) return entry.plan.get();
    entry.flops += shape.flops();
    if (entry.flops < worth_) return nullptr;
    entry.asked = true;
    entry.plan = make();
    return entry.plan.get();
  }

  /// A plan that failed is not used again.
  void drop(const SdpaShape& shape) { at(shape).plan.reset(); }

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    explicit Entry(const SdpaShape& of) : shape(of) {}
    SdpaShape shape;
    double flops = 0;
    bool asked = false;
    std::unique_ptr<Plan> plan;
  };

  Entry& at(const SdpaShape& shape) {
    const auto known = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.shape == shape; });
    if (known != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, known);
    } else {
      entries_.emplace_front(shape);
      if (entries_.size() > kMost) entries_.pop_back();
    }
    return entries_.front();
  }

  double worth_;
  std::list<Entry> entries_;  ///< the most recently used first
};

}  // namespace airlock::cuda
