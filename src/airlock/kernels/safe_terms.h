// Products that oneDNN is known to get wrong, and how they are given to it instead: with a few more
// terms, all of them zero. Internal to kernels/.
#pragma once

#include <cstdint>
#include <functional>

#include "airlock/core/dtype.h"

namespace airlock {

/// How many terms (k) to hand to oneDNN for a product of `terms` terms of dtype `in`: as many, or
/// more where it would get them wrong.
using TermsRule = std::function<std::int64_t(std::int64_t terms, DType in)>;

/// The rule for oneDNN 2.6; `on_amx`: it multiplies bf16 by AMX tiles.
///
/// There its blocked products (brgemm_matmul.cpp, in 2.7 too: its issue 1661) cut k into blocks of
/// 32 values or a multiple of that, and round the rest up to whole pairs. Only if the rest then
/// differs from a block do they configure the tiles for it, although its last rows and columns need
/// a configuration of their own in any case. So where the rest is 31 and a block 32, rows or
/// columns that fill no block are multiplied with tiles of another size: wrong sums or SIGILL.
/// Blocks are of 32 if k is 63, if more would not fit into the cache (seen for 4095 and 8191) or if
/// k is split over threads: every k that leaves 31 is suspect, but 31 itself, which is a single
/// block.
[[nodiscard]] std::int64_t safe_terms(std::int64_t terms, DType in, bool on_amx) noexcept;

/// Where a batch of matrices [rows, columns] lies: batch-major or, `token_major`, [rows, batch,
/// columns].
struct PaddedFrom {
  const void* data = nullptr;
  std::int64_t batch = 1;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  bool token_major = false;
};

/// to [batch, rows, columns], dense = `from`, zeros behind its rows and columns. Elements of
/// `element_bytes`.
void pad(const PaddedFrom& from, std::size_t element_bytes, std::int64_t rows, std::int64_t columns,
         void* to);

}  // namespace airlock
