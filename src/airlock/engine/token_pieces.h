// The text of single tokens, as they read inside a text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "airlock/model/tokenizer.h"

namespace airlock {

/// Not thread-safe. The tokenizer must outlive it.
class TokenPieces {
 public:
  explicit TokenPieces(const Tokenizer& tokenizer);

  /// The text that `id` adds behind a word: with the space it begins with, which a tokenizer drops
  /// at the start of a text; special tokens as they are spelled; U+FFFD for bytes that are no whole
  /// characters; "" for an id that the tokenizer does not have (a model may have more).
  [[nodiscard]] std::string text(std::int64_t id);

 private:
  const Tokenizer& tokenizer_;
  std::unique_ptr<StreamDecoder> decoder_;
  std::vector<std::int32_t> word_;  ///< what stands before the token
};

}  // namespace airlock
