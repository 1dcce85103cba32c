// A tokenizer.json for checkpoints with random weights: any text encodes, every id decodes.
#pragma once

#include <cstdint>
#include <string>

namespace airlock {

/// A Llama-3-style tokenizer.json of exactly `vocab_size` ids: the 256 bytes, filler words that no
/// text encodes to (they have no merges), and special tokens at the end, <|begin_of_text|> and
/// <|end_of_text|> first. From 128256 ids on there are 256 special tokens as in Llama 3.1, so that
/// 128256 gives 128000, 128001 and <|eot_id|> 128009; below, as many of the first 10 as fit. A text
/// takes one token a byte. Hugging Face `tokenizers` reads it too.
/// Throws Error(kInvalidArgument) below 258 (the bytes and two special tokens) and above 4194304.
std::string make_byte_level_tokenizer_json(std::int64_t vocab_size);

}  // namespace airlock
