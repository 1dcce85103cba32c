// Memory for secrets: left out of core dumps, out of swap where the system allows it, and wiped
// before it is given back.
#pragma once

#include <cstdint>
#include <memory>

#include "airlock/core/buffer_pool.h"

namespace airlock {

/// Blocks of whole pages of this process alone: not dumped (MADV_DONTDUMP), not there after a fork
/// (MADV_DONTFORK: a child that goes on would use the same pads again), locked into memory as far
/// as RLIMIT_MEMLOCK allows, beyond that quietly not, and wiped on free. Content starts as zeros.
/// Thread-safe.
[[nodiscard]] std::shared_ptr<BlockSource> secret_blocks();

/// Bytes of secret_blocks() now.
struct SecretMemory {
  std::int64_t locked = 0;
  std::int64_t unlocked = 0;  ///< where the system's limit was reached
};
[[nodiscard]] SecretMemory secret_memory() noexcept;

/// Forbids core dumps of this process, and that others of the same user trace it or read its
/// memory: PR_SET_DUMPABLE and RLIMIT_CORE become 0. A program that it executes is dumpable again,
/// but has the limit. Throws Error(kInternal) if the system refuses.
void forbid_core_dumps();

}  // namespace airlock
