// A runner's side of a test: calls whose answers are checked.
#pragma once

#include <cstdint>

#include <gtest/gtest.h>

#include "airlock/ops/operators.h"

#include "tests/support/call_memory.h"
#include "tests/support/small_model.h"

namespace airlock::testing {

/// One call with checked answers; throws what execute throws.
inline void expect_answer(Operators& operators, const ModelConfig& config, const Call& call,
                          std::uint64_t seed) {
  CallMemory memory(config, call, seed);
  operators.execute(call, memory.inputs, memory.outputs);
  EXPECT_TRUE(memory.answered()) << describe(call);
}

/// Every operator once, on `tokens` tokens.
inline void expect_all_answers(Operators& operators, const ModelConfig& config, std::int64_t tokens,
                               std::uint64_t seed) {
  for (const LegalCall& legal : legal_calls(config, tokens, DType::kF32)) {
    expect_answer(operators, config, legal.call, seed++);
  }
}

}  // namespace airlock::testing
