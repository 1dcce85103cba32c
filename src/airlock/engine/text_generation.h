// One sequence's way from logits to text, token by token: sampling, log-probabilities, end tokens,
// stop texts, and what can be printed so far. Who computes the logits is another's subject.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "airlock/engine/logprobs.h"
#include "airlock/engine/sampler.h"
#include "airlock/engine/stop_texts.h"
#include "airlock/model/config.h"
#include "airlock/model/tokenizer.h"

namespace airlock {

struct TextGenerationOptions {
  std::int64_t max_tokens = 64;  ///< tokens to generate at most
  SamplingOptions sampling;
  bool ignore_eos = false;        ///< end tokens are tokens like any other
  std::vector<std::string> stop;  ///< texts that end the generation and are not printed
  /// So many of the likeliest tokens with each token, 0 to kMaxTopLogprobs; none: no
  /// log-probabilities at all.
  std::optional<int> logprobs;
  /// Sees the logits, [vocab] f32 as the model gave them, that each token is about to be chosen
  /// from. May be empty. May throw.
  std::function<void(std::span<const float>)> on_logits;
};

enum class FinishReason : std::uint8_t {
  kEndToken,  ///< one of the model's end tokens
  kStopText,
  kLength,  ///< max_tokens, or the model's context is full
};

/// "stop" (an end token or a stop text) or "length", as the OpenAI API names them.
std::string_view finish_reason_name(FinishReason reason) noexcept;

struct GeneratedToken {
  std::int64_t id = 0;
  /// What can be printed now: whole characters, nothing that may become a stop text. Often "", or
  /// text of earlier tokens. All texts of a generation joined are its text: that of prompt and
  /// continuation together, less the prompt's.
  std::string text;
  Logprobs logprobs;                     ///< if they were asked for
  std::optional<FinishReason> finished;  ///< set with the last token
};

/// Not thread-safe.
class TextGeneration {
 public:
  /// Generates behind `prompt`, whose text is not printed but decides how the continuation begins:
  /// with the space that a text's start would lose. The tokenizer must outlive this. Throws
  /// Error(kInvalidArgument) for options outside their range, an empty prompt or one longer than
  /// the model's context, and for what Sampler and StopTexts refuse.
  TextGeneration(const Tokenizer& tokenizer, const ModelConfig& config,
                 std::span<const std::int64_t> prompt, TextGenerationOptions options);

  /// Chooses the token that follows, from logits: [vocab] f32 of the last position so far. The
  /// result holds until the next push. End tokens and ids that the tokenizer does not have print as
  /// nothing. Throws Error(kInternal) if the generation has finished, and what Sampler::sample
  /// throws.
  const GeneratedToken& push(std::span<const float> logits);

  [[nodiscard]] std::int64_t prompt_tokens() const noexcept { return prompt_tokens_; }
  /// Why no token follows; none while one does. With max_tokens 0 set from the start.
  [[nodiscard]] std::optional<FinishReason> finished() const noexcept { return token_.finished; }
  /// All tokens so far, a closing end token and those of a stop text included.
  [[nodiscard]] std::span<const std::int64_t> ids() const noexcept { return ids_; }

 private:
  void print(std::int64_t id);
  void print_rest();

  const Tokenizer& tokenizer_;
  TextGenerationOptions options_;
  std::vector<std::int64_t> end_tokens_;
  const std::int64_t prompt_tokens_;
  std::int64_t limit_ = 0;  ///< tokens that max_tokens and the context leave room for
  Sampler sampler_;
  StopTexts stop_texts_;
  std::unique_ptr<StreamDecoder> decoder_;
  std::string decoded_;
  std::vector<std::int64_t> ids_;
  GeneratedToken token_;
};

}  // namespace airlock
