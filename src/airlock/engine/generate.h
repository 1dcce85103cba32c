// From prompts to their continuations: one alone, or many side by side.
#pragma once

#include <cstdint>
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
/// Throws what Engine::run,
/// TextGeneration::push and `on_token` throw.
Generation generate(Engine& engine, std::span<const std::int64_t> prompt, TextGeneration& text,
                    const OnToken& on_token, StopToken stop = {});

/// Generations that share passes: each step feeds the next token of all that decode, and beside
/// them up to `prefill_rows` rows of the prompts that are not done, the oldest first, so that a
/// long prompt delays the others' tokens by so many rows at most. Not thread-safe.
class GenerationBatch {
 public:
  /// Rows of prompts in one step.
  static constexpr std::int64_t kPrefillRows = 256;

  /// `engine` must outlive it.
  explicit GenerationBatch(Engine& engine, std::int64_t prefill_rows = kPrefillRows);
  ~GenerationBatch();
  GenerationBatch(const GenerationBatch&) = delete;
  GenerationBatch& operator=(const GenerationBatch&) = delete;

  /// Takes up a prompt, the one that `text` was made for; `text` must outlive its generation, which
  /// lasts until text.finished(), or until `stop` is. Throws Error(kResourceExhausted) past the
  /// engine's sequences.
  void add(std::span<const std::int64_t> prompt, TextGeneration& text, OnToken on_token = {},
           StopToken stop = {});
  /// Ends the generation of `text` where it stands, if it goes on: nothing more is fed of it. An
  /// on_token may call it, for its own generation or another.
  void cancel(const TextGeneration& text);
  /// One pass over at most kMaxRanges sequences; false if nothing was left to do. What an on_token
  /// throws ends its generation, and the first of them passes through once all tokens of the step
  /// were chosen. Throws as Engine::run does.
  bool step();
  /// Generations that go on.
  [[nodiscard]] std::size_t size() const noexcept { return active_.size(); }

 private:
  struct Active;
  Engine& engine_;
  const std::int64_t prefill_rows_;
  std::vector<std::unique_ptr<Active>> active_;  ///< in the order they came
  std::vector<Feed> feeds_;
  std::vector<Active*> fed_;
};

}  // namespace airlock
