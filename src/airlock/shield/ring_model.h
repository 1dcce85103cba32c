// What a runner derives from its own checkpoint for the ring plans, in one pass: scales and norms
// of the int8 weights, and the secret vectors that products are checked with.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/stop.h"
#include "airlock/model/checkpoint.h"
#include "airlock/model/config.h"
#include "airlock/model/tensor_table.h"
#include "airlock/ops/call.h"

namespace airlock {

/// Products that share their input rows: one remote call.
struct RingGroup {
  int layer = kNoLayer;
  Weights weights;       ///< {q,k,v}, {o}, {gate,up}, {down}, or {lm_head} with kNoLayer
  std::int64_t in = 0;   ///< columns of the input
  std::int64_t out = 0;  ///< of all outputs
};

/// The groups of a model in forward order: four a layer, then the LM head, if a worker has it.
[[nodiscard]] std::vector<RingGroup> ring_groups(const ModelConfig& config, bool lm_head);
/// Their index: of a call's layer and first weight. Throws Error(kInternal) for no such group.
[[nodiscard]] int ring_group_of(const ModelConfig& config, int layer, Weight first);

/// One matrix.
struct RingProduct {
  Weight weight = Weight::kQ;
  int layer = kNoLayer;
  std::int64_t in = 0;
  std::int64_t out = 0;
  double max_norm = 0;  ///< largest 2-norm of an output channel's int8 weights
  Buffer scales;        ///< [out] f32: of the weights
  Buffer keys;          ///< [checks][out] u32: v, secret; empty without checks
  Buffer key_products;  ///< [checks][in] u32: W·v mod p, as secret
};

struct RingModelOptions {
  int checks = 1;       ///< vectors v a matrix, 1 or 2 (soundness 31 or 62 bits); 0: none
  bool lm_head = true;  ///< a worker has it
  /// Called with the bytes of the checkpoint done so far and in all. May throw.
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};
  StopToken stop = {};
};

/// Immutable but for renew_keys(), so not thread-safe. The keys lie in memory that is locked and
/// not dumped where the system allows, and wiped at the end.
class RingModel {
 public:
  /// One pass over the matrices of `checkpoint` (which outlives it), row by row, on all threads.
  /// Throws as quantize_weight_rows and Checkpoint::read, naming the tensor, and
  /// Error(kInterrupted).
  RingModel(const Checkpoint& checkpoint, const RingModelOptions& options);
  ~RingModel();
  RingModel(const RingModel&) = delete;
  RingModel& operator=(const RingModel&) = delete;

  [[nodiscard]] const ModelConfig& config() const noexcept { return config_; }
  [[nodiscard]] const std::vector<RingGroup>& groups() const noexcept { return groups_; }
  [[nodiscard]] int checks() const noexcept { return checks_; }
  /// Lives until the keys are renewed, and as long as keys() of before that. Throws
  /// Error(kInternal) if it has none.
  [[nodiscard]] const RingProduct& product(int layer, Weight weight) const;
  /// Keeps the products of now: for calls under way while others renew the keys.
  [[nodiscard]] std::shared_ptr<const void> keys() const noexcept { return products_; }
  /// Fresh v and W·v of every matrix. A pass as the constructor's.
  void renew_keys();
  /// A check failed: whoever sees replies knows a value that its keys do not let pass. All that use
  /// this model draw fresh ones before their next call, by renew_failed_keys().
  void fail_keys() noexcept { failed_ = true; }
  void renew_failed_keys() {
    if (failed_) renew_keys();
  }

 private:
  const Checkpoint& checkpoint_;
  ModelConfig config_;
  int checks_;
  RingModelOptions options_;
  std::vector<RingGroup> groups_;
  std::shared_ptr<const std::vector<RingProduct>> products_;  ///< by layer and weight, the LM head
  bool failed_ = false;
};

}  // namespace airlock
