// The rules every call obeys, checked on both sides of the link and used by the predictor:
// given the model and the inputs, which calls are legal and what comes back.
#pragma once

#include "airlock/model/config.h"
#include "airlock/ops/call.h"

namespace airlock {

/// Shapes and dtypes of the outputs of `call` on a model of `config`, in `call.reply_dtype`.
///
/// Throws Error(kProtocol), naming the call, the tensor, what it has and what was expected, unless
/// the call is legal: known operator, layer in range, number of inputs, ranks and dimensions as
/// `Op` documents them, float dtypes for activations and i64 for ids, at least one row and at most
/// kMaxRanges * `config.max_position`. FlashAttention and AttentionBlock have 1 to kMaxRanges
/// ranges, each of another sequence, of at least one token and within `config.max_position`, that
/// make up the rows; FusedAttention has one, of sequence 0; PadProduct
/// one of at most kMaxPadRows rows; other operators have none. RingLinear takes ring or int16 rows
/// and replies in ring or ring16, PadProduct in ring. Pure;
/// thread-safe; no allocation unless it throws.
TensorSpecs infer_outputs(const ModelConfig& config, const Call& call);

}  // namespace airlock
