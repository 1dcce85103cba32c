// What one rendering of a chat template may use.
#pragma once

#include <cstdint>

namespace airlock {

/// Bounds for a rendering; past one it ends with Error(kResourceExhausted).
struct ChatLimits {
  std::uint64_t steps = 10'000'000;        ///< nodes evaluated, items visited, 64 bytes copied
  std::uint64_t output_bytes = 16 << 20;   ///< the rendered text
  std::uint64_t memory_bytes = 128 << 20;  ///< all values made, the conversation among them
  std::uint32_t depth = 600;               ///< nested statements, expressions, calls and values
};

}  // namespace airlock
