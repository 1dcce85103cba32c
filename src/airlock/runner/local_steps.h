// The steps that run in the runner, each over the slots it declares: norms, RoPE, the KV cache,
// attention, activations, residual adds, the LM head.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "airlock/kernels/kv_cache.h"
#include "airlock/math/flash_attention.h"
#include "airlock/math/rope.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/program.h"
#include "airlock/runner/lm_head.h"
#include "airlock/runner/runner_model.h"
#include "airlock/runner/slot_memory.h"

namespace airlock {

/// A batch on its way through the program, as local steps see it.
struct BatchMemory {
  const Batch& batch;
  std::span<const std::int64_t> ids;  ///< [batch.tokens()]
  SlotMemory& slots;
};

/// Runs local steps of one plan and keeps what they need between batches: RoPE's table and the KV
/// cache of each sequence. Not thread-safe.
class LocalSteps {
 public:
  /// `model` and `layout` must outlive it.
  LocalSteps(const RunnerModel& model, const Plan& plan, const Program& program,
             const SlotLayout& layout);
  ~LocalSteps();

  /// Throws Error(kSessionLost) for a pass past what its sequence's cache holds,
  /// Error(kResourceExhausted) if there is no memory.
  void run(const Visit& visit, const BatchMemory& memory);
  /// Frees the cache of a sequence, if it has one.
  void end_sequence(std::uint32_t sequence) noexcept { caches_.erase(sequence); }
  /// Bytes of all caches.
  [[nodiscard]] std::int64_t cache_bytes() const noexcept;

 private:
  [[nodiscard]] Tensor slot(Slot slot, const Visit& visit, const BatchMemory& memory) const;
  [[nodiscard]] Tensor input(const Visit& visit, int i, const BatchMemory& memory) const {
    return slot(visit.step->inputs[i], visit, memory);
  }
  [[nodiscard]] Tensor output(const Visit& visit, int i, const BatchMemory& memory) const {
    return slot(visit.step->outputs[i], visit, memory);
  }
  KvCache& cache(std::uint32_t sequence);
  void norm_wanted(const Visit& visit, const BatchMemory& memory);
  void rotate(const Visit& visit, const BatchMemory& memory);
  void extend_caches(const Visit& visit, const BatchMemory& memory);
  void split_queries(const Visit& visit, const BatchMemory& memory);
  void repeat_cached(const Visit& visit, const BatchMemory& memory);
  void attend(const Visit& visit, const BatchMemory& memory);

  const RunnerModel& model_;
  const SlotLayout& layout_;
  const DType cache_dtype_;
  RopeTable rope_;
  std::unordered_map<std::uint32_t, std::unique_ptr<KvCache>> caches_;
  std::unique_ptr<RunnerLmHead> lm_head_;
  Buffer narrow_queries_;                      ///< q in bf16
  std::vector<FlashAttentionArgs> attention_;  ///< of the passes of a batch
};

}  // namespace airlock
