// Attention as the textbook has it, scores materialised: what flash attention is compared with.
#pragma once

#include "airlock/math/flash_attention.h"

namespace airlock::testing {

/// The same contract as flash_attention, computed head by head with [tokens, context] f64 scores.
/// Slow and O(tokens * context) in memory. Thread-safe.
void naive_attention(const FlashAttentionArgs& args);

}  // namespace airlock::testing
