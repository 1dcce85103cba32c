// Runs a plan's program: local steps by the runner's kernels, remote ones through Operators.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "airlock/core/buffer_pool.h"
#include "airlock/math/rope.h"
#include "airlock/plan/program.h"
#include "airlock/remote/operators.h"
#include "airlock/runner/lm_head.h"
#include "airlock/runner/runner_model.h"
#include "airlock/worker/cpu/kv_cache.h"

namespace airlock {

struct ExecutorOptions {
  /// Called before each layer with the layer's number and the number of layers. May throw.
  std::function<void(std::int64_t layer, std::int64_t layers)> progress;
};

/// One sequence of one plan. Passes must follow one another from position 0 (which starts the
/// sequence anew). Allocates nothing once it has seen its largest pass. Not thread-safe.
class Executor {
 public:
  /// `model` and `operators` must outlive it. Throws as check_plan does.
  Executor(const RunnerModel& model, const Plan& plan, Operators& operators,
           ExecutorOptions options = {});
  ~Executor();

  /// Feeds `ids` ([pass.tokens]) through all layers; gives the logits [pass.logit_rows, vocab] f32
  /// (empty if none are wanted), valid until the next call.
  /// Throws Error(kInvalidArgument) for ids outside the vocabulary or a context past the model's,
  /// and what Operators::execute throws, after which the sequence must start anew.
  std::span<const float> run(const Pass& pass, std::span<const std::int64_t> ids);

  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  /// Time spent in local steps since the start, in ms.
  [[nodiscard]] double local_ms() const noexcept { return local_ms_; }

 private:
  void run_steps(const std::vector<Step>& steps, int layer, const Pass& pass,
                 std::span<const std::int64_t> ids);
  void run_remote(const Step& step, int layer, const Pass& pass, std::span<const std::int64_t> ids);
  void run_local(const Step& step, int layer, const Pass& pass, std::span<const std::int64_t> ids);
  void rotate_and_cache(int layer, const Pass& pass);
  void repeat_cached(const Step& step, int layer, const Pass& pass);
  void runner_attention(int layer, const Pass& pass);
  /// The slot's memory for this pass, [as slot_spec says]; content kept if it was large enough.
  Tensor slot(Slot slot, const Pass& pass);
  float* floats(Slot slot, const Pass& pass);

  const RunnerModel& model_;
  const Plan plan_;
  const Program program_;
  Operators& operators_;
  const ExecutorOptions options_;
  BufferPool pool_;
  RopeTable rope_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<RunnerLmHead> lm_head_;
  std::array<Buffer, kSlotCount> slots_;
  Buffer narrow_queries_;  ///< q in bf16, for runner attention
  double local_ms_ = 0;
};

}  // namespace airlock
