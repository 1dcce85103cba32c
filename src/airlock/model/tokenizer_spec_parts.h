// The parts of a tokenizer.json around the model: each reads one object into the spec.
// Internal to model/.
#pragma once

#include <vector>

#include "airlock/model/tokenizer_spec.h"
#include "airlock/model/tokenizer_spec_fields.h"

namespace airlock {

/// Each throws Error(kCorruptFile) for a part that contradicts itself and Error(kUnsupported), with
/// its name, for a kind that no Llama uses.
void parse_normalizer(const tokenizer_fields::Node& node, std::vector<NormalizerStep>& steps);
void parse_pre_tokenizer(const tokenizer_fields::Node& node, std::vector<PreTokenizerStep>& steps);
/// `spec` must hold its vocabulary and added tokens: the template's tokens are looked up there.
void parse_post_processor(const tokenizer_fields::Node& node, TokenizerSpec& spec);
/// The text and settings of an added token; `normalized` is the opposite of `special` where it is
/// not said.
AddedToken parse_added_token(const tokenizer_fields::Node& node, std::int32_t token_id);
DecoderSpec parse_decoder(const tokenizer_fields::Node& node);

}  // namespace airlock
