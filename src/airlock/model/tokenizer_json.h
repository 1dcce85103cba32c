// The tokenizer that a tokenizer.json describes: byte-level BPE (Llama 3) or BPE over characters
// with byte fallback (Llama 2).
#pragma once

#include <memory>
#include <string>

#include "airlock/model/tokenizer.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {

/// Builds it from a checked spec. `names` says which tokens are BOS and EOS; where it does not, BOS
/// is the template's first token, and else they go by the names that Llama 2 and 3 give them.
/// `where` starts messages. Throws Error(kCorruptFile) if a named token does not exist,
/// Error(kUnsupported) for a Unigram model, and as PreTokenizer and Normalizer do.
std::unique_ptr<Tokenizer> make_json_tokenizer(TokenizerSpec spec, const TokenizerNames& names,
                                               const std::string& where);

}  // namespace airlock
