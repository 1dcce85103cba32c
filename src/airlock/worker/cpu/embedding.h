// Embedding: rows of the embedding matrix, looked up by token id.
#pragma once

#include <cstdint>
#include <functional>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/tensor.h"

namespace airlock {

/// Rows gathered at a time. A fault on a mapped file's row maps up to 256 KiB around it (measured),
/// so a block leaves at most 64 MiB resident.
inline constexpr std::int64_t kEmbeddingBlock = 256;

/// out [tokens, hidden], any float dtype = table [vocab, hidden] f32, bf16 or f16 at ids [tokens]
/// i64. `gathered` hears the number of rows after each block of them, when pages may be dropped.
/// Throws Error(kInvalidArgument) for the first id outside [0, vocab), before it writes anything.
void embedding(const BufferPool& pool, ConstTensor table, ConstTensor ids, Tensor out,
               const std::function<void(std::int64_t rows)>& gathered);

}  // namespace airlock
