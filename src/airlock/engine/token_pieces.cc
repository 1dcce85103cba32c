#include "airlock/engine/token_pieces.h"

namespace airlock {

TokenPieces::TokenPieces(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer),
      decoder_(tokenizer.stream_decoder(false)),
      word_(tokenizer.encode("a", false)) {}

std::string TokenPieces::text(std::int64_t id) {
  if (!tokenizer_.has(id)) return "";
  std::string text;
  for (const std::int32_t before : word_) decoder_->push(before, text);
  text.clear();
  decoder_->mark_printed();
  decoder_->push(static_cast<std::int32_t>(id), text);
  decoder_->flush(text);
  return text;
}

}  // namespace airlock
