// One model, many sequences: rows of several conversations go through all layers side by side,
// sharing every linear call.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "airlock/core/stop.h"
#include "airlock/model/config.h"
#include "airlock/ops/endpoint.h"
#include "airlock/plan/plan.h"
#include "airlock/runner/executor.h"
#include "airlock/runner/runner_model.h"

namespace airlock {

class Engine;

/// One conversation: the keys and values of its tokens, kept by runner or worker as the plan says,
/// and freed when it goes. It must go before its engine. Not thread-safe.
class Sequence {
 public:
  Sequence(Sequence&& other) noexcept;
  Sequence& operator=(Sequence&&) = delete;
  ~Sequence();

  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
  /// Tokens fed so far: the position of the next.
  [[nodiscard]] std::int64_t position() const noexcept { return position_; }
  /// True once its token was stopped: no run will feed it any more.
  [[nodiscard]] bool stopped() const noexcept { return stop_.stopped(); }
  /// Goes on from token `position` of those fed; 0: anew. Throws Error(kInvalidArgument) for a
  /// position not reached yet.
  void rewind(std::int64_t position);

 private:
  friend class Engine;
  Sequence(Engine& engine, std::uint32_t id, StopToken stop) noexcept
      : engine_(&engine), id_(id), stop_(std::move(stop)) {}

  Engine* engine_;
  std::uint32_t id_;
  StopToken stop_;
  std::int64_t position_ = 0;
};

/// Tokens that follow what a sequence was fed before.
struct Feed {
  Sequence* sequence = nullptr;
  std::span<const std::int64_t> ids;  ///< at least one
  std::int64_t logit_rows = 1;        ///< the last so many rows get logits; 0: none
};

struct EngineOptions {
  /// Sequences open at the same time. More than kMaxRanges cannot share a call, but may be open.
  int max_sequences = 256;
  /// Called as layers are done, with their number and that of all layers of all batches of a run.
  /// May throw.
  std::function<void(std::int64_t done, std::int64_t all)> progress = {};
  /// Ends a run of any sequence at its next layer with Error(kInterrupted).
  StopToken stop = {};
};

/// Runs sequences of one model under one plan. What the runner keeps of the model is shared with
/// other engines of the same RunnerModel. Not thread-safe.
class Engine {
 public:
  /// `model` and what `endpoint` names must outlive it. Throws as check_plan does.
  Engine(const RunnerModel& model, const Plan& plan, const Endpoint& endpoint,
         EngineOptions options = {});
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// A new sequence at position 0. `stop` cancels it alone: a prefill of its ends at the next
  /// layer, a run that feeds it is refused, both with Error(kInterrupted). Throws
  /// Error(kResourceExhausted) past max_sequences.
  [[nodiscard]] Sequence open(StopToken stop = {});

  /// Feeds at most kMaxRanges sequences (each once) in one go; gives the logits of the wanted rows,
  /// [sum of logit_rows, vocab] f32 in the order of the feeds, valid until the next call. Throws as
  /// Executor::run does; then no sequence has moved, and those fed must go on from there or before.
  std::span<const float> run(std::span<const Feed> feeds);

  /// Feeds `ids` to one sequence in pieces of plan.chunk, as many of them under way as the link's
  /// lanes allow; gives the last row's logits [vocab]. Throws as run does.
  std::span<const float> prefill(Sequence& sequence, std::span<const std::int64_t> ids);

  [[nodiscard]] const ModelConfig& config() const noexcept { return model_.config(); }
  [[nodiscard]] const Plan& plan() const noexcept { return executor_.plan(); }
  [[nodiscard]] int open_sequences() const noexcept { return open_; }
  /// Time spent in the runner's local steps since the start, in ms.
  [[nodiscard]] double local_ms() const noexcept { return executor_.local_ms(); }
  /// Bytes of KV caches in the runner.
  [[nodiscard]] std::int64_t cache_bytes() const noexcept { return executor_.cache_bytes(); }

 private:
  friend class Sequence;
  void close(std::uint32_t id) noexcept;

  const RunnerModel& model_;
  const EngineOptions options_;
  Executor executor_;
  std::vector<std::int64_t> ids_;    ///< of a run, gathered
  std::vector<Pass> passes_;         ///< of a prefill
  std::vector<std::uint32_t> free_;  ///< ids of sequences that are gone
  int open_ = 0;
};

}  // namespace airlock
