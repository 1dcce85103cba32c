// The tokenizer that a SentencePiece tokenizer.model describes (Llama 2), through libsentencepiece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "airlock/model/tokenizer.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {

/// Builds it from the bytes of a tokenizer.model. encode adds BOS as Llama 2 does, unless `names`
/// says otherwise. `where` starts messages. Throws Error(kCorruptFile).
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model,
                                                        const TokenizerNames& names,
                                                        const std::string& where);

}  // namespace airlock
