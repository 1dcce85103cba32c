// What `airlock run` prints on stdout: the text as it comes, or JSON lines of ids and
// log-probabilities.
#pragma once

#include <cstdint>
#include <span>

#include "airlock/engine/text_generation.h"
#include "airlock/engine/token_pieces.h"

namespace airlock {

/// Lines, in this order:
///   {"prompt_ids":[…]}                                        with `ids`
///   {"token":id,"text":…,"logprob":…,"top":[{"token":id,"text":…,"logprob":…},…]}
///                                              with `logprobs`, for each generated token
///   {"generated_ids":[…],"finish_reason":"stop"|"length"}     with `ids`
/// A logprob of minus infinity is null. With neither, the text and a newline. Everything is written
/// at once. Throws Error(kIo) if nobody takes it. Not thread-safe.
class RunOutput {
 public:
  /// The tokenizer must outlive it.
  RunOutput(const Tokenizer& tokenizer, bool ids, bool logprobs)
      : pieces_(tokenizer), ids_(ids), logprobs_(logprobs) {}

  void begin(std::span<const std::int64_t> prompt);
  void token(const GeneratedToken& token);
  /// `generation` has finished.
  void end(const TextGeneration& generation);

 private:
  TokenPieces pieces_;
  bool ids_;
  bool logprobs_;
};

}  // namespace airlock
