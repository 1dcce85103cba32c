// Runs a plan's program on rows of one or several sequences: local steps by the runner's kernels,
// remote ones through Operators.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "airlock/core/stop.h"
#include "airlock/ops/endpoint.h"
#include "airlock/ops/wire_dtype.h"
#include "airlock/plan/plan.h"
#include "airlock/plan/program_cursor.h"
#include "airlock/runner/local_steps.h"
#include "airlock/runner/runner_model.h"
#include "airlock/runner/slot_memory.h"

namespace airlock {

struct ExecutorOptions {
  /// Called as layers are done, with their number and that of all layers of all batches of a run.
  /// May throw.
  std::function<void(std::int64_t done, std::int64_t all)> progress = {};
  /// Ends a run at its next layer with Error(kInterrupted). What it waits for has a token of its
  /// own: see LinkOptions.
  StopToken stop = {};
};

/// Any number of sequences under one plan. The passes of a sequence must follow one another from
/// position 0 (which starts it anew). Allocates nothing once it has seen its largest batch and its
/// sequences have caches for their length. Not thread-safe.
class Executor {
 public:
  /// `model` and what `endpoint` names must outlive it. Throws as check_plan does, and
  /// Error(kInternal) if calls would cross otherwise than `plan` says: a plan of the ring wants an
  /// endpoint behind RingOperators.
  Executor(const RunnerModel& model, const Plan& plan, const Endpoint& endpoint,
           ExecutorOptions options = {});
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Feeds `ids` ([batch.tokens()], pass by pass) through all layers; gives the logits
  /// [batch.logit_rows(), vocab] f32 (empty if none are wanted), valid until the next call.
  /// Throws Error(kInvalidArgument) for ids outside the vocabulary, a context past the model's or a
  /// sequence that is in the batch twice, and what Operators::submit throws, after which the
  /// batch's sequences go on at or before where they were.
  std::span<const float> run(const Batch& batch, std::span<const std::int64_t> ids) {
    return run(std::span(&batch, 1), ids);
  }

  /// Feeds batches one after the other, `ids` of all of them, as a pipeline: up to
  /// Operators::lanes() batches are under way, each with a call of its own, so that the runner
  /// works on one while the worker or the link has the others. Calls are made in the order in which
  /// attention needs them: a batch asks for a layer after the one before it did, so that a sequence
  /// may be in several. Gives the logits of the last batch (empty if it wants none). Throws as the
  /// other run does.
  std::span<const float> run(std::span<const Batch> batches, std::span<const std::int64_t> ids);
  /// The same for passes of one sequence, which `stop` ends at the next layer with
  /// Error(kInterrupted).
  std::span<const float> run(std::span<const Pass> passes, std::span<const std::int64_t> ids,
                             const StopToken& stop = {});

  /// Frees what runner and worker keep of a sequence. Throws as Operators::submit does.
  void end_sequence(std::uint32_t sequence);

  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  /// Time spent in local steps since the start, in ms.
  [[nodiscard]] double local_ms() const noexcept { return local_ms_; }
  /// Bytes of KV caches in the runner.
  [[nodiscard]] std::int64_t cache_bytes() const noexcept { return steps_.cache_bytes(); }

 private:
  /// A batch on its way through the program.
  struct Lane {
    Batch batch;
    std::span<const std::int64_t> ids;
    ProgramCursor cursor;
    int layer = -1;  ///< that the cursor is in
    CallTicket ticket;
    SlotMemory slots;
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

  template <typename Piece>
  std::span<const float> run_pieces(std::span<const Piece> pieces,
                                    std::span<const std::int64_t> ids, const StopToken& stop);
  void throw_if_stopped() const;
  void check(const Batch& batch, std::span<const std::int64_t> ids) const;
  /// Opens a lane for `batch`; true if it has a call under way.
  bool start(Lane& lane, const Batch& batch, std::span<const std::int64_t> ids);
  /// Runs local steps up to the next call and submits that; false if the batch is complete.
  bool advance(Lane& lane);
  void layer_done();
  void submit(const Visit& visit, Lane& lane);

  const RunnerModel& model_;
  const Plan plan_;
  const Program program_;
  const std::size_t layer_calls_;  ///< of one layer and one pass
  WireDTypeOperators operators_;
  const ExecutorOptions options_;
  const SlotLayout layout_;
  LocalSteps steps_;
  std::vector<Lane> lanes_;
  LaneQueue under_way_;
  const StopToken* stop_ = nullptr;  ///< of this run
  double local_ms_ = 0;
  std::int64_t layers_done_ = 0;  ///< of this run
  std::int64_t layers_all_ = 0;
};

}  // namespace airlock
