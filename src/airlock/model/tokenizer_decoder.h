// Tokens of a tokenizer.json to text, one at a time: the stream decoders of the BPE tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "airlock/model/tokenizer.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {

/// A decoder as `spec` says. `text_of` gives a token's text, "" for one to be skipped or in a hole,
/// and throws Error(kInvalidArgument) for an id out of the tokenizer's range. `spec` must outlive
/// the decoder.
///
/// A ByteLevel decoder holds back at most 3 bytes. One with ByteFallback holds back a run of <0xNN>
/// tokens until it ends: if any of it is ill-formed, `tokenizers` prints U+FFFD for each of its
/// bytes.
std::unique_ptr<StreamDecoder> make_stream_decoder(
    const DecoderSpec& spec, std::function<std::string_view(std::int32_t)> text_of);

}  // namespace airlock
