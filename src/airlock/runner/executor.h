// Runs a plan's program: local steps by the runner's kernels, remote ones through Operators.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/stop.h"
#include "airlock/kernels/kv_cache.h"
#include "airlock/math/rope.h"
#include "airlock/ops/operators.h"
#include "airlock/plan/program.h"
#include "airlock/runner/lm_head.h"
#include "airlock/runner/runner_model.h"

namespace airlock {

struct ExecutorOptions {
  /// Called as layers are done, with their number and that of all layers of all passes of a run.
  /// May throw.
  std::function<void(std::int64_t done, std::int64_t all)> progress = {};
  /// Ends a run at its next layer with Error(kInterrupted). What it waits for has a token of its
  /// own: see LinkOptions.
  StopToken stop = {};
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
  std::span<const float> run(const Pass& pass, std::span<const std::int64_t> ids) {
    return run(std::span(&pass, 1), ids);
  }

  /// Feeds passes that follow one another, `ids` of all of them, as a pipeline: up to
  /// Operators::lanes() passes are under way, each with a call of its own, so that the runner works
  /// on one while the worker or the link has the others. Calls are made in the order in which
  /// attention needs them: a pass asks for a layer after the pass before it did. Gives the logits
  /// of the last pass (empty if it wants none). Throws as the other run does.
  std::span<const float> run(std::span<const Pass> passes, std::span<const std::int64_t> ids);

  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  /// Time spent in local steps since the start, in ms.
  [[nodiscard]] double local_ms() const noexcept { return local_ms_; }

 private:
  /// A pass on its way through the program.
  struct Lane {
    Pass pass;
    std::span<const std::int64_t> ids;
    int stage = 0;  ///< 0: the beginning; 1 … layers: a layer; layers + 1: the end
    std::size_t step = 0;
    std::array<Buffer, kSlotCount> slots;
  };

  /// Lanes whose calls are under way, oldest first: a ring that never allocates while it runs.
  class LaneQueue {
   public:
    void resize(std::size_t lanes) { ring_.resize(lanes); }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    void push(std::size_t lane) { ring_[(first_ + count_++) % ring_.size()] = lane; }
    std::size_t pop() {
      const std::size_t lane = ring_[first_];
      first_ = (first_ + 1) % ring_.size();
      --count_;
      return lane;
    }
    void clear() noexcept { first_ = count_ = 0; }

   private:
    std::vector<std::size_t> ring_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
  };

  void check(const Pass& pass, std::span<const std::int64_t> ids) const;
  /// Runs local steps up to the next call and submits that; false if the pass is complete.
  bool advance(Lane& lane);
  [[nodiscard]] const std::vector<Step>& steps_of(const Lane& lane) const;
  void submit(const Step& step, int layer, Lane& lane);
  void run_local(const Step& step, int layer, Lane& lane);
  void rotate_and_cache(int layer, Lane& lane);
  void split_queries(Lane& lane);
  void repeat_cached(const Step& step, int layer, Lane& lane);
  void runner_attention(int layer, Lane& lane);
  /// The slot's memory for the lane's pass, [as slot_spec says]; content kept if it was large
  /// enough.
  Tensor slot(Slot slot, Lane& lane);
  float* floats(Slot slot, Lane& lane);

  const RunnerModel& model_;
  const Plan plan_;
  const Program program_;
  Operators& operators_;
  const ExecutorOptions options_;
  BufferPool pool_;
  const DType native_;        ///< of slots that stay as they travel; f32 if none do
  BufferPool crossing_pool_;  ///< for slots that hold nothing but what crosses, as it travels
  std::array<bool, kSlotCount> crossing_{};
  RopeTable rope_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<RunnerLmHead> lm_head_;
  std::vector<Lane> lanes_;
  LaneQueue under_way_;
  Buffer narrow_queries_;  ///< q in bf16, for runner attention
  double local_ms_ = 0;
  std::int64_t layers_done_ = 0;  ///< of this run
  std::int64_t layers_all_ = 0;
};

}  // namespace airlock
