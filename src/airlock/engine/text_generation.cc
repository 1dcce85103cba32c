#include "airlock/engine/text_generation.h"

#include <algorithm>

#include "airlock/core/error.h"

namespace airlock {

std::string_view finish_reason_name(FinishReason reason) noexcept {
  return reason == FinishReason::kLength ? "length" : "stop";
}

TextGeneration::TextGeneration(const Tokenizer& tokenizer, const ModelConfig& config,
                               std::span<const std::int64_t> prompt, TextGenerationOptions options)
    : tokenizer_(tokenizer),
      options_(std::move(options)),
      prompt_tokens_(static_cast<std::int64_t>(prompt.size())),
      sampler_(options_.sampling),
      stop_texts_(options_.stop),
      decoder_(tokenizer.stream_decoder()) {
  require(prompt_tokens_ >= 1, ErrorCode::kInvalidArgument, "the prompt has no tokens");
  require(prompt_tokens_ <= config.max_position, ErrorCode::kInvalidArgument,
          "the prompt has {} tokens, the model's context is {}", prompt_tokens_,
          config.max_position);
  require(options_.max_tokens >= 0, ErrorCode::kInvalidArgument,
          "{} tokens to generate, expected 0 or more", options_.max_tokens);
  const int top = options_.logprobs.value_or(0);
  require(top >= 0 && top <= kMaxTopLogprobs, ErrorCode::kInvalidArgument,
          "log-probabilities of {} tokens, expected 0 to {}", top, kMaxTopLogprobs);
  if (!options_.ignore_eos) end_tokens_ = config.eos;
  // The last token needs no pass of its own, so the context may be filled to the brim.
  limit_ = std::min(options_.max_tokens, config.max_position - prompt_tokens_ + 1);
  ids_.reserve(static_cast<std::size_t>(limit_));
  sampler_.see(prompt);
  // What follows is printed as the middle of a text that begins with the prompt.
  for (const std::int64_t id : prompt) {
    if (!tokenizer.has(id)) continue;
    decoder_->push(static_cast<std::int32_t>(id), decoded_);
    decoded_.clear();
  }
  decoder_->mark_printed();
  if (limit_ == 0) token_.finished = FinishReason::kLength;
}

const GeneratedToken& TextGeneration::push(std::span<const float> logits) {
  require(!token_.finished, ErrorCode::kInternal, "a token after the end of the generation");
  if (options_.on_logits) options_.on_logits(logits);
  token_.text.clear();
  token_.id = sampler_.sample(logits);
  ids_.push_back(token_.id);
  if (options_.logprobs) {
    compute_logprobs(logits, token_.id, *options_.logprobs, token_.logprobs);
  }
  if (std::find(end_tokens_.begin(), end_tokens_.end(), token_.id) != end_tokens_.end()) {
    token_.finished = FinishReason::kEndToken;
  } else {
    if (static_cast<std::int64_t>(ids_.size()) == limit_) token_.finished = FinishReason::kLength;
    print(token_.id);
  }
  if (token_.finished && token_.finished != FinishReason::kStopText) print_rest();
  return token_;
}

void TextGeneration::print(std::int64_t id) {
  if (!tokenizer_.has(id)) return;
  decoded_.clear();
  decoder_->push(static_cast<std::int32_t>(id), decoded_);
  if (stop_texts_.push(decoded_, token_.text)) token_.finished = FinishReason::kStopText;
}

void TextGeneration::print_rest() {
  decoded_.clear();
  decoder_->flush(decoded_);
  if (stop_texts_.push(decoded_, token_.text)) {
    token_.finished = FinishReason::kStopText;
  } else {
    stop_texts_.flush(token_.text);
  }
}

}  // namespace airlock
