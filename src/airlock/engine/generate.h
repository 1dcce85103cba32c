// From prompts to their continuations: one alone, or many side by side.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "airlock/engine/engine.h"
#include "airlock/engine/text_generation.h"

namespace airlock {

using OnToken = std::function<void(const GeneratedToken&)>;

struct Generation {
  double prefill_ms = 0;  ///< until the first token's logits
  double decode_ms = 0;   ///< of the further passes
};

/// Runs `prompt`, the one that `text` was made for, on a sequence of its own, and continues it
/// until `text` has finished; `on_token` takes each token; `stop` ends it with Error(kInterrupted).
/// Throws what Engine::run, require_finite, TextGeneration::push and `on_token` throw.
Generation generate(Engine& engine, std::span<const std::int64_t> prompt, TextGeneration& text,
                    const OnToken& on_token, StopToken stop = {});

/// How a generation of a GenerationBatch ended.
struct GenerationEnd {
  std::uint64_t id = 0;                  ///< as add gave it
  const TextGeneration* text = nullptr;  ///< its tokens so far, and why it finished if it did
  std::exception_ptr error;              ///< null: it finished or was cancelled
};

using OnEnd = std::function<void(const GenerationEnd&)>;

/// Generations that share passes: each step feeds the next token of all that decode, and beside
/// them up to `prefill_rows` rows of the prompts that are not done, the oldest first, so that a
/// long prompt delays the others' tokens by so many rows at most. An error ends the generation that
/// it belongs to; the others go on. Not thread-safe.
class GenerationBatch {
 public:
  /// Rows of prompts in one step.
  static constexpr std::int64_t kPrefillRows = 256;

  /// `engine` must outlive it.
  explicit GenerationBatch(Engine& engine, std::int64_t prefill_rows = kPrefillRows);
  /// Generations that go on end without a word.
  ~GenerationBatch();
  GenerationBatch(const GenerationBatch&) = delete;
  GenerationBatch& operator=(const GenerationBatch&) = delete;

  /// Takes up a prompt, the one that `text` was made for; `text` must outlive its generation, which
  /// lasts until text.finished(), an error (kInterrupted once `stop` is stopped), or cancel. Gives
  /// its id, from 0. `on_end` is called once, in the step that ended it, when nothing is kept of
  /// its sequence any more; it may add others. Throws Error(kResourceExhausted) past the engine's
  /// sequences, Error(kInvalidArgument) for a prompt that is not of the text's length.
  std::uint64_t add(std::span<const std::int64_t> prompt, TextGeneration& text,
                    OnToken on_token = {}, OnEnd on_end = {}, StopToken stop = {});
  /// Ends the generation of `text` where it stands, if it goes on: nothing more is fed of it. An
  /// on_token may call it, for its own generation or another.
  void cancel(const TextGeneration& text);
  /// One pass over at most kMaxRanges sequences; false if nothing is left to do. If the pass fails
  /// by what may be one sequence's own (memory for its keys and values, a cache that the worker
  /// lost, a token or a context that the model does not have), each is fed alone (those
  /// that hold keys, the youngest first, before those that start, the oldest first: where memory is
  /// short the older go on), and those that fail again end with their errors; by anything else all
  /// that were fed end with it. What an on_token throws is its generation's error. The first error
  /// of a generation without on_end, as an Error that names its id, or else what an on_end throws,
  /// passes through once all else of the step is done.
  bool step();
  /// Generations that go on.
  [[nodiscard]] std::size_t size() const noexcept { return active_.size(); }

 private:
  struct Active;
  void gather();
  void run();
  void run_each_alone(const std::exception_ptr& shared);
  /// Chooses the token of fed_[i] from its logits, if it has any.
  void take_token(std::size_t i, std::span<const float> logits);
  void tell_ended();

  Engine& engine_;
  const std::int64_t prefill_rows_;
  std::uint64_t next_id_ = 0;
  std::vector<std::unique_ptr<Active>> active_;  ///< in the order they came
  std::vector<Feed> feeds_;
  std::vector<Active*> fed_;
};

}  // namespace airlock
