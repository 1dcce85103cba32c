// Embedding: rows of the embedding matrix, looked up by token id.
#pragma once

#include "airlock/core/buffer_pool.h"
#include "airlock/core/tensor.h"

namespace airlock {

/// out [tokens, hidden], any float dtype = table [vocab, hidden] f32, bf16 or f16 at ids [tokens]
/// i64. Throws Error(kInvalidArgument) for the first id outside [0, vocab), before it writes
/// anything.
void embedding(const BufferPool& pool, ConstTensor table, ConstTensor ids, Tensor out);

}  // namespace airlock
