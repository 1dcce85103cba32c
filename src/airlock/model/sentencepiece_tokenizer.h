// The tokenizer that a SentencePiece tokenizer.model describes (Llama 2), through libsentencepiece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "airlock/model/tokenizer.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {

/// Builds it from the bytes of a tokenizer.model. encode adds BOS as Llama 2 does, unless `names`
/// says otherwise. `unigram` is the tokenizer.json made from the model, if there is one: its added
/// tokens and template count in place of those of `names`. `where` starts messages.
///
/// Text that spells an added token, a special one, or a control or unknown piece of the model
/// becomes that token, as in transformers 5.24; what lies between is encoded piece by piece. The
/// first piece is encoded as the `sentencepiece` package encodes a text; one behind a token gets
/// the space that starts a text as transformers gives it: if tokenizer_class is LlamaTokenizer
/// none, with `legacy` unless it begins with one; for other classes always.
///
/// Throws Error(kCorruptFile) for a model that is none, and tokens that contradict it;
/// Error(kUnsupported) if `unigram` has other pieces.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model,
                                                        const TokenizerNames& names,
                                                        const std::string& where,
                                                        const TokenizerSpec* unigram = nullptr);

}  // namespace airlock
