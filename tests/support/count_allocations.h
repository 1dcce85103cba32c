// Counts what threads ask of the heap. Link count_allocations.cc into the test program, too: it
// replaces malloc and its kin for the whole program (under a sanitizer only operator new).
#pragma once

#include <cstdint>

namespace airlock::testing {

/// Blocks the calling thread has asked for since it started.
std::int64_t allocations_of_this_thread() noexcept;
/// Blocks that all threads have asked for, those that have ended and other libraries' included.
std::int64_t allocations_of_all_threads() noexcept;

}  // namespace airlock::testing
