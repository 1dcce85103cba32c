// From prompts to their continuations: one alone, or many side by side.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "airlock/engine/engine.h"
#include "airlock/engine/sampler.h"

namespace airlock {

struct GenerateOptions {
  std::int64_t max_tokens = 64;  ///< tokens to generate at most; 0: prefill only
  SamplingOptions sampling;
  bool ignore_eos = false;
  /// Called with each token as it is chosen; false ends the generation.
  std::function<bool(std::int64_t token)> on_token;
};

struct Generation {
  std::vector<std::int64_t> tokens;  ///< generated, a closing eos included
  double prefill_ms = 0;             ///< until the first token's logits
  double decode_ms = 0;              ///< of the further passes
};

/// Runs `prompt` on a sequence of its own and continues it until an eos token, `max_tokens`, or the
/// model's context is full.
/// Throws Error(kInvalidArgument) for an empty prompt or one longer than the context, and what
/// Engine::run and Sampler::sample throw.
Generation generate(Engine& engine, std::span<const std::int64_t> prompt,
                    const GenerateOptions& options);

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

  /// Takes a prompt up; gives the number it is known by, from 0. Throws Error(kInvalidArgument) as
  /// generate does, Error(kResourceExhausted) past the engine's sequences.
  std::size_t add(std::span<const std::int64_t> prompt, const GenerateOptions& options);
  /// Ends a generation where it stands, if it has not ended: nothing more is fed of it.
  void cancel(std::size_t number);
  /// One pass over at most kMaxRanges sequences; false if nothing was left to do. What an on_token
  /// throws passes through after all tokens of the step were chosen. Throws as Engine::run does.
  bool step();

  [[nodiscard]] bool ended(std::size_t number) const;
  /// Tokens generated so far, a closing eos included.
  [[nodiscard]] const std::vector<std::int64_t>& tokens(std::size_t number) const;

 private:
  struct Active;
  Engine& engine_;
  const std::int64_t prefill_rows_;
  std::vector<std::unique_ptr<Active>> all_;
  std::vector<Feed> feeds_;
  std::vector<Active*> fed_;
};

}  // namespace airlock
